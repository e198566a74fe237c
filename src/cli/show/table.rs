//! Rows in aligned columns; on a terminal that is too narrow, one value per line.

use unicode_width::UnicodeWidthStr;

use crate::cli::screen::{Paint, Screen};

/// The blanks between two columns.
const GAP: usize = 2;

/// The width of a short id: `k_` and 12 hex digits. Every command accepts it.
const SHORT_ID: usize = 14;

/// One cell of a table.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    text: String,
    paint: Option<Paint>,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), paint: None }
    }
}

impl Cell {
    pub(super) fn painted(text: impl Into<String>, paint: Paint) -> Self {
        Self { text: text.into(), paint: Some(paint) }
    }

    /// Pads the text to `width`, outside of a table.
    pub(super) fn pad(mut self, width: usize) -> Self {
        self.text = format!("{:width$}", self.text);
        self
    }

    pub(super) fn show(&self, screen: Screen) -> String {
        self.paint.map_or_else(|| self.text.clone(), |paint| screen.paint(&self.text, paint))
    }
}

/// Formats a header and rows. A column whose header begins with `>` is aligned right; one that begins with `?` is shown
/// only in the form with one value per line.
pub(super) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [Cell; N]>,
    screen: Screen,
) -> String {
    let mut rows: Vec<[Cell; N]> = rows.into_iter().collect();
    let fits = |rows: &[[Cell; N]]| {
        let shown = header.iter().filter(|head| is_column(head)).count();
        let whole = widths(&header, rows).iter().sum::<usize>() + GAP * shown.saturating_sub(1);
        screen.width.is_none_or(|width| whole <= width)
    };
    if !fits(&rows) {
        rows.iter_mut().flatten().for_each(shorten);
    }
    if fits(&rows) { columns(header, &rows, screen) } else { blocks(header, &rows, screen) }
}

fn shorten(cell: &mut Cell) {
    let is_id = cell.text.len() == 34 && cell.text.starts_with("k_") && cell.text.is_ascii();
    if is_id {
        cell.text.truncate(SHORT_ID);
    }
}

fn name(header: &str) -> &str {
    header.trim_start_matches(['>', '?'])
}

fn is_column(header: &str) -> bool {
    !header.starts_with('?')
}

fn widths<const N: usize>(header: &[&str; N], rows: &[[Cell; N]]) -> [usize; N] {
    std::array::from_fn(|column| {
        if !is_column(header[column]) {
            return 0;
        }
        let cells = rows.iter().map(|row| row[column].text.width());
        cells.chain([name(header[column]).width()]).max().unwrap_or(0)
    })
}

fn columns<const N: usize>(header: [&str; N], rows: &[[Cell; N]], screen: Screen) -> String {
    let widths = widths(&header, rows);
    let heads = header.map(|head| Cell::painted(name(head), Paint::Heading));
    let mut out = String::new();
    for row in std::iter::once(&heads).chain(rows) {
        let mut line = String::new();
        // Blanks are written before the next text, so that no line ends with blanks.
        let mut blanks = 0;
        for ((cell, width), head) in row.iter().zip(widths).zip(header).filter(|(_, head)| is_column(head)) {
            let rest = width.saturating_sub(cell.text.width());
            let (before, after) = if head.starts_with('>') { (rest, 0) } else { (0, rest) };
            if !cell.text.is_empty() {
                line.push_str(&" ".repeat(blanks + before));
                line.push_str(&cell.show(screen));
                blanks = after + GAP;
            } else {
                blanks += width + GAP;
            }
        }
        out.push_str(&line);
        out.push('\n');
    }
    out
}

fn blocks<const N: usize>(header: [&str; N], rows: &[[Cell; N]], screen: Screen) -> String {
    let width = header.iter().map(|head| name(head).trim().width()).max().unwrap_or(0);
    let block = |row: &[Cell; N]| -> String {
        let pairs = header.iter().zip(row).map(|(head, cell)| {
            let head = name(head).trim();
            let blanks = " ".repeat(width.saturating_sub(head.width()) + GAP);
            format!("{}{blanks}{}\n", screen.paint(head, Paint::Heading), cell.show(screen).trim())
        });
        pairs.collect()
    };
    rows.iter().map(block).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "k_0a1b2c3d000000000000000000000001";

    fn shown(width: usize) -> String {
        let rows = [["7".into(), ID.into(), "a note".into()], ["12".into(), "-".into(), "日本".into()]];
        table([">NO", "KEY", "NOTE"], rows, Screen { width: Some(width), ..Screen::default() })
    }

    #[test]
    fn columns_are_aligned_by_display_width() {
        let wide = format!("NO  KEY{}NOTE\n 7  {ID}  a note\n12  -{}日本\n", " ".repeat(33), " ".repeat(35));
        assert_eq!(shown(200), wide);
        assert_eq!(shown(46), wide, "exactly as wide as the screen");
    }

    #[test]
    fn a_narrow_screen_gets_short_ids_and_a_very_narrow_one_a_value_per_line() {
        assert_eq!(shown(45), "NO  KEY             NOTE\n 7  k_0a1b2c3d0000  a note\n12  -               日本\n");
        let rows = [["7".into(), ID.into(), "a decision".into()]];
        let beside = table([">NO", "KEY", "?DECISION"], rows, Screen { width: Some(17), ..Screen::default() });
        assert_eq!(beside, "NO        7\nKEY       k_0a1b2c3d0000\nDECISION  a decision\n");
        assert_eq!(shown(20), "NO    7\nKEY   k_0a1b2c3d0000\nNOTE  a note\n\nNO    12\nKEY   -\nNOTE  日本\n");
    }
}
