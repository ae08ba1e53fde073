--- Texts in which the embedded model surely goes on: each has `$0` where the trial writes, in the middle of what has been
--- repeated before.
local M = {}

M.python = [[
def first(values):
    total = 0
    for value in values:
        total = total + value
    return total


def second(values):
    total = 0
    for value in values:
        total = total + value
    return total


def third(values):
    total = 0
    $0
]]

M.rust = [[
fn first(values: &[i32]) -> i32 {
    let mut total = 0;
    for value in values {
        total = total + value;
    }
    total
}

fn second(values: &[i32]) -> i32 {
    let mut total = 0;
    $0
}
]]

return M
