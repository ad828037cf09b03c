"""Every figure: one function each, data in, one PNG out. The same data give the same bytes.

`pictures` shows photos, `inside` what the scratch network makes of them, `learning` how training
went, `answers` how often the networks are right, `trust` how far they can be relied on.
"""
