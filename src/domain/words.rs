//! Closed lists of words. Each is written as the same word wherever it is stored, logged, counted or printed; `strum`
//! makes the words of the variants' names.

/// Names for what `strum` derives of a closed list: `Display`, `EnumString`, `VariantArray` and `VariantNames`.
macro_rules! words {
    ($($list:ty),*) => {$(
        impl $list {
            /// Every one, in the order in which they are listed here.
            pub const ALL: [Self; <Self as strum::VariantNames>::VARIANTS.len()] =
                match <Self as strum::VariantArray>::VARIANTS.first_chunk() {
                    Some(all) => *all,
                    None => panic!("there are as many as are counted"),
                };

            /// The word itself.
            pub const fn as_str(self) -> &'static str {
                <Self as strum::VariantNames>::VARIANTS[self as usize]
            }

            /// The one with this word, if there is one.
            pub fn from_word(word: &str) -> Option<Self> {
                word.parse().ok()
            }
        }
    )*};
}

pub(crate) use words;
