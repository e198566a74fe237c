//! Texts that were once read by somebody, as files below tests/snapshots/.

use std::{collections::BTreeMap, env, fs, path::Path};

/// Set, it writes the files anew; the diff is then for somebody to read.
const UPDATE: &str = "SENTINEL_UPDATE_SNAPSHOTS";

/// Holds `texts`, by their names, against the files of the folder, which must have no others.
pub(crate) fn assert_snapshots(folder: &str, texts: &BTreeMap<String, String>) {
    let folder = Path::new("tests/snapshots").join(folder);
    if env::var_os(UPDATE).is_some() {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        texts.iter().for_each(|(name, text)| fs::write(folder.join(name), text).unwrap());
    }
    let file =
        |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap());
    let kept: BTreeMap<_, _> = fs::read_dir(&folder).unwrap().map(|entry| file(entry.unwrap())).collect();
    for (name, text) in texts {
        let kept = kept.get(name).map_or("", String::as_str);
        let line = text.lines().zip(kept.lines()).take_while(|(is, was)| is == was).count();
        let (is, was) = (text.lines().nth(line), kept.lines().nth(line));
        assert!(
            text == kept,
            "{folder:?}/{name}, line {}:\n  was {was:?}\n  is  {is:?}\n{UPDATE}=1 writes it anew",
            line + 1
        );
    }
    let stale: Vec<_> = kept.keys().filter(|name| !texts.contains_key(*name)).collect();
    assert!(stale.is_empty(), "{folder:?} has {stale:?}, which nothing says any more; {UPDATE}=1 removes them");
}
