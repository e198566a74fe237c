//! Texts that people write, and that a terminal or a log shows.

/// Whether `c` could forge a line or change how a line reads: control characters, Unicode line and paragraph separators
/// (Zl, Zp), and bidirectional controls (Bidi_Control).
pub fn is_control(c: char) -> bool {
    let is_bidi = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || is_bidi || matches!(c, '\u{2028}' | '\u{2029}')
}
