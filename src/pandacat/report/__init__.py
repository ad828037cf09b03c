"""The report page, the model card, the audit page and all plots."""
