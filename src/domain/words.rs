//! Enumerations whose variants are words. A variant is the same word wherever it is stored, logged, counted or printed;
//! `strum` derives the word from the variant's name.

/// Adds `ALL`, `as_str` and `from_word` to an enum that derives `Display`, `EnumString`, `VariantArray` and
/// `VariantNames`.
macro_rules! words {
    ($($list:ty),*) => {$(
        impl $list {
            /// Every variant, in the order of declaration.
            pub const ALL: [Self; <Self as strum::VariantNames>::VARIANTS.len()] =
                match <Self as strum::VariantArray>::VARIANTS.first_chunk() {
                    Some(all) => *all,
                    None => panic!("VariantArray and VariantNames differ in length"),
                };

            /// The variant's word.
            pub const fn as_str(self) -> &'static str {
                <Self as strum::VariantNames>::VARIANTS[self as usize]
            }

            /// The variant with this word, if there is one.
            pub fn from_word(word: &str) -> Option<Self> {
                word.parse().ok()
            }
        }
    )*};
}

pub(crate) use words;
