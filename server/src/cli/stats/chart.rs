//! Bars and curves of block characters.

use crossterm::style::Stylize;

/// How far a chart may go, and whether it may have colours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) columns: usize,
    pub(super) with_colour: bool,
}

impl Look {
    /// A title.
    pub(super) fn title(&self, text: &str) -> String {
        if self.with_colour { text.bold().to_string() } else { text.to_owned() }
    }

    /// Something less important.
    pub(super) fn aside(&self, text: &str) -> String {
        if self.with_colour { text.dim().to_string() } else { text.to_owned() }
    }

    /// Something to look at.
    pub(super) fn mark(&self, text: &str) -> String {
        if self.with_colour { text.green().to_string() } else { text.to_owned() }
    }

    /// A bar for `count` of `most`, `width` columns at most, to an eighth of a column.
    pub(super) fn bar(&self, count: u64, most: u64, width: usize) -> String {
        self.mark(&bar(count, most, width))
    }

    /// A bar for `whole` of `most` of which `part` stands out.
    pub(super) fn bar_with_part(&self, part: u64, whole: u64, most: u64, width: usize) -> String {
        let [part, whole] = [part, whole].map(|count| columns_of(count, most, width));
        format!("{}{}", self.mark(&"█".repeat(part)), self.aside(&"░".repeat(whole.saturating_sub(part))))
    }

    /// One column for each count, as high as its share of the largest.
    pub(super) fn curve(&self, counts: &[u64]) -> String {
        const HEIGHTS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let most = counts.iter().copied().max().unwrap_or_default().max(1);
        // What is there at all is to be seen.
        let height = |count: u64| (count as f64 / most as f64 * 8.0).ceil() as usize;
        self.mark(&counts.iter().map(|count| HEIGHTS[height(*count).min(8)]).collect::<String>())
    }
}

fn bar(count: u64, most: u64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (count as f64 / most.max(1) as f64 * width as f64 * 8.0).round() as usize;
    let eighths = eighths.max(usize::from(count > 0)).min(width * 8);
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

fn columns_of(count: u64, most: u64, width: usize) -> usize {
    let columns = (count as f64 / most.max(1) as f64 * width as f64).round() as usize;
    columns.max(usize::from(count > 0)).min(width)
}

#[cfg(test)]
mod tests {
    use super::{Look, bar};

    const PLAIN: Look = Look { columns: 80, with_colour: false };

    #[test]
    fn bars_are_as_long_as_their_share() {
        assert_eq!(bar(4, 4, 3), "███");
        assert_eq!(bar(2, 4, 3), "█▌");
        assert_eq!(bar(1, 1000, 3), "▏");
        assert_eq!(bar(0, 4, 3), "");
        assert_eq!(bar(0, 0, 3), "");
        assert_eq!(bar(1, 1, 0), "");
        assert_eq!(bar(u64::MAX, u64::MAX, 2), "██");
        assert_eq!(PLAIN.bar_with_part(1, 4, 4, 8), "██░░░░░░");
        assert_eq!(PLAIN.bar_with_part(4, 4, 8, 8), "████");
        assert_eq!(PLAIN.bar_with_part(0, 0, 0, 8), "");
    }

    #[test]
    fn curves_show_what_is_there_at_all() {
        assert_eq!(PLAIN.curve(&[0, 1, 50, 100]), " ▁▄█");
        assert_eq!(PLAIN.curve(&[0, 0]), "  ");
        assert_eq!(PLAIN.curve(&[]), "");
    }

    #[test]
    fn without_colour_there_is_no_escape() {
        let coloured = Look { with_colour: true, ..PLAIN };
        assert!(coloured.bar(1, 1, 1).contains('\u{1b}'));
        assert!(!PLAIN.bar(1, 1, 1).contains('\u{1b}'));
    }
}
