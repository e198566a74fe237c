//! Texts that people write and other people read in a terminal or a log.

/// Whether `c` makes a line look like what it is not: control characters, the ends of lines and paragraphs that are none
/// to ASCII (Unicode Zl, Zp), and the characters that turn the direction of what follows (Bidi_Control).
pub fn is_control(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
}
