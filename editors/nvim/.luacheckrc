std = "luajit"
globals = { "vim" }
max_line_length = 120
-- A handler takes what it is given, whether it needs it or not.
unused_args = false

files["../../tests/editors/nvim"] = { globals = { "vim", "arg" } }
-- The sample of Markdown has blanks at the end of a line on purpose.
files["../../tests/editors/nvim/harness/samples.lua"] = { ignore = { "613" } }
