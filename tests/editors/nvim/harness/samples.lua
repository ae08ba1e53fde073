--- Texts in which the embedded model surely goes on: each has `$0` where the trial writes, amid
--- what has been repeated before.
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

--- A function with two calls, which want its new name when it is renamed.
M.calls = [[
fn total_weight(items: &[u8]) -> u8 {
    items.iter().sum()
}

fn main() {
    let first = total_weight(&[1]);
    show(total_weight(&[2]));
}
]]

--- Several holes; the embedded model can be trusted to fill one of them, and not to fill any of them well.
M.holes = [[
impl Person {
    fn first(&self) -> &str {
        &self.name
    }

    fn second(&self) -> &str {
        &self.name
    }

    fn third(&self) -> &str {
        todo!()
    }
}

fn numbers() {
    let first = 0;
    let second = 0;
    let third = todo!();
    let fourth = 0;
}
]]

--- A document with much to be put in order.
M.markdown = [[
#Title
Some text
* one
+ two
- three



Another line   
```
let x = 1;
]]

return M
