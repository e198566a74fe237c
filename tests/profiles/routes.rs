//! Routes with their own rules: `sentinel.profile`, `sentinel.missing`.
