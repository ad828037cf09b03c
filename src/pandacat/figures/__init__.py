"""Every figure: one function each, data in, one PNG out. The same data give the same bytes.

`pictures` shows photos, `inside` what a network makes of them, `training` how learning went,
`answers` how often the networks are right, `trust` how far they can be relied on.
"""
