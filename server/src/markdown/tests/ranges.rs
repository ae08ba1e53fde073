use super::super::edits;
use super::*;

#[test]
fn only_blocks_that_the_range_touches_change() {
    let text = "* a\n* b\n\nnext  to  it \n\n1) c\n3) d\n\n|a|b|\n|-|-|\n|1|2|\n";
    let at = |needle: &str| text.find(needle).unwrap();
    for (range, expected) in [
        (at("next")..at("next"), text.replace("next  to  it ", "next to it")),
        (at("to")..at("3)"), text.replace("next  to  it ", "next to it").replace("1)", "1.").replace("3)", "2.")),
        (at("|1")..at("|1"), text.replace("|a|b|\n|-|-|\n|1|2|", "| a | b |\n| - | - |\n| 1 | 2 |")),
        (0..1, text.to_owned()),
        (8..8, text.to_owned()),
    ] {
        let formatted = format(text, None, Some(range.clone()), &Cancel::new()).unwrap();
        assert_eq!(formatted.text, expected, "{range:?}");
    }
    let all = format(text, None, Some(0..text.len() + 9), &Cancel::new()).unwrap();
    assert_eq!(all, format(text, None, None, &Cancel::new()).unwrap());
}

#[test]
fn a_range_is_of_the_bytes_that_were_given() {
    let text = "\u{feff}é  é\r\n\r\nb  b\r\n\r\nc  c\r\n";
    let at = text.find("b").unwrap();
    let formatted = format(text, None, Some(at..at + 1), &Cancel::new()).unwrap();
    assert_eq!(formatted.text, text.replace("b  b", "b b"));
    assert_eq!(edits(text, &formatted.text), [(at..at + 6, "b b\r\n".to_owned())]);
}
