//! The chart of the page: processor time a check.

use std::fmt::Write;

use crate::report::Bar;

const BAR: usize = 22;
const LEFT: usize = 330;
const WIDTH: f64 = 420.0;

/// Groups of horizontal bars. Colours that differ in grey too; text in the reader's own font.
pub(crate) fn svg(groups: &[(&str, &[Bar])]) -> String {
    let longest = groups.iter().flat_map(|(_, bars)| bars.iter()).map(|bar| bar.value).fold(1.0, f64::max);
    let (mut body, mut y) = (String::new(), 46);
    for (title, bars) in groups {
        let _ = writeln!(body, r#"<text x="10" y="{y}" font-weight="bold">{title}</text>"#);
        y += 12;
        for (at, Bar { name, value, ratio }) in bars.iter().enumerate() {
            let (width, colour) = (value / longest * WIDTH, if at == 0 { "#9aa5b1" } else { "#1f6feb" });
            let middle = y + BAR - 8;
            let _ = writeln!(body, r#"<text x="{}" y="{middle}" text-anchor="end">{name}</text>"#, LEFT - 8);
            let _ =
                writeln!(body, r#"<rect x="{LEFT}" y="{y}" width="{width:.0}" height="{}" fill="{colour}"/>"#, BAR - 6);
            let _ = writeln!(
                body,
                r#"<text x="{:.0}" y="{middle}">{value:.1} µs ({ratio:.2} ×)</text>"#,
                LEFT as f64 + width + 6.0
            );
            y += BAR;
        }
        y += 24;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 900 {y}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <title>Processor time a check</title>\n<rect width=\"900\" height=\"{y}\" fill=\"#ffffff\"/>\n\
         <text x=\"10\" y=\"22\" font-size=\"16\">Processor time a check, in microseconds (less is better)</text>\n{body}</svg>\n"
    )
}
