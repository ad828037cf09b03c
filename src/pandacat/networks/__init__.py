"""Networks: our own, and the pretrained one."""
