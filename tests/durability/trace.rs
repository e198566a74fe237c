//! Reads what `strace -f -y -xx` saw and tells whether an acknowledgement left before its change was safe.
//!
//! strace reports a call's beginning before the kernel carries it out, and its end after. So if a call's end is
//! reported before another's beginning, it ended before the other began; that is the only order relied on here.

use std::collections::BTreeSet;

/// One system call that succeeded, or never returned.
#[derive(Clone, Debug)]
struct Call {
    name: String,
    /// The file behind the first argument.
    file: String,
    /// All the data of the arguments.
    data: Vec<u8>,
    /// The line on which it was reported to begin.
    begin: usize,
    /// The line on which it was reported to have ended.
    end: usize,
}

impl Call {
    fn is_sync(&self) -> bool {
        matches!(self.name.as_str(), "fsync" | "fdatasync")
    }

    fn writes_log(&self) -> bool {
        matches!(self.name.as_str(), "write" | "pwrite64") && self.file.ends_with("-wal")
    }

    fn is_answer(&self) -> bool {
        matches!(self.name.as_str(), "write" | "writev" | "sendto" | "sendmsg") && self.file.starts_with("socket:")
    }
}

/// The traced calls, in the order in which they began.
pub(crate) struct Trace {
    calls: Vec<Call>,
}

/// A page that was written to the write-ahead log.
struct Page<'a> {
    call: &'a Call,
    /// Whether its frame ends a transaction: SQLite puts the database's size into that frame's header.
    commits: bool,
}

impl Trace {
    pub(crate) fn parse(text: &str) -> Self {
        let mut calls = Vec::new();
        let mut unfinished: Vec<(&str, usize, String)> = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let Some((pid, event)) = line.split_once(char::is_whitespace) else { continue };
            let event = event.trim_start();
            if let Some(head) = event.strip_suffix(" <unfinished ...>") {
                unfinished.push((pid, at, head.to_owned()));
            } else if let Some(resumed) = event.strip_prefix("<... ") {
                let begun = unfinished.iter().position(|(of, ..)| *of == pid).expect("a call resumes that had begun");
                let (_, begin, head) = unfinished.swap_remove(begun);
                let tail = resumed.split_once(" resumed>").expect("a resumed call").1;
                calls.extend(call(&format!("{head}{tail}"), begin, at));
            } else {
                calls.extend(call(event, at, at));
            }
        }
        // A server that was killed or exits leaves calls without an end; what they sent may have been seen.
        calls.extend(
            unfinished.into_iter().filter_map(|(_, begin, head)| call(&format!("{head}) = 0"), begin, usize::MAX)),
        );
        calls.sort_by_key(|call| call.begin);
        Self { calls }
    }

    /// How many successful syncs there were.
    pub(crate) fn syncs(&self) -> usize {
        self.calls.iter().filter(|call| call.is_sync() && call.file.ends_with("-wal")).count()
    }

    /// How many writes to files of this extension there are, and how many of them no later sync of their file covers.
    pub(crate) fn writes(&self, extension: &str) -> (usize, usize) {
        let is_write = |call: &&Call| call.name == "write" && call.file.ends_with(extension);
        let covers = |write: &Call, sync: &Call| sync.is_sync() && sync.file == write.file && sync.begin > write.end;
        let writes: Vec<_> = self.calls.iter().filter(is_write).collect();
        let unsynced = writes.iter().filter(|write| !self.calls.iter().any(|call| covers(write, call)));
        (writes.len(), unsynced.count())
    }

    /// Every key id that some answer names.
    pub(crate) fn answered(&self) -> BTreeSet<String> {
        self.calls.iter().filter(|call| call.is_answer()).flat_map(|call| key_ids(&call.data)).collect()
    }

    /// How many acknowledgements of changes to this key there are, if each followed its change's way to the disk.
    ///
    /// Each answer that names the key must acknowledge one change of it: the trace is only conclusive for keys that
    /// were asked about for no other reason.
    pub(crate) fn acknowledged(&self, key_id: &str) -> Result<usize, String> {
        let names_key = |call: &&Call| contains(&call.data, key_id.as_bytes());
        let answers: Vec<&Call> = self.calls.iter().filter(|call| call.is_answer()).filter(names_key).collect();
        let mut earlier = None;
        for (nth, answer) in answers.iter().enumerate() {
            self.covered(key_id, earlier, answer).map_err(|why| format!("answer {} for {key_id}: {why}", nth + 1))?;
            earlier = Some(answer.begin);
        }
        Ok(answers.len())
    }

    /// Between the answers `earlier` and `answer`: the page with the key was written, its transaction committed, and a
    /// sync that began after that ended before the answer began.
    fn covered(&self, key_id: &str, earlier: Option<usize>, answer: &Call) -> Result<(), String> {
        let pages: Vec<Page<'_>> =
            self.pages().into_iter().filter(|page| earlier.is_none_or(|earlier| page.call.begin > earlier)).collect();
        let written = pages.iter().position(|page| contains(&page.call.data, key_id.as_bytes()));
        let written = written.ok_or("no write to the log holds the key")?;
        let commit = pages[written..].iter().find(|page| page.commits).ok_or("its transaction never committed")?;
        let mut syncs = self.calls.iter().filter(|call| call.is_sync() && call.file == commit.call.file);
        let safe = syncs.any(|sync| sync.begin > commit.call.end && sync.end < answer.begin);
        if safe { Ok(()) } else { Err("it left before a sync that began after the commit had ended".to_owned()) }
    }

    fn pages(&self) -> Vec<Page<'_>> {
        const FRAME_HEADER: usize = 24;
        let (mut pages, mut commits) = (Vec::new(), false);
        for call in self.calls.iter().filter(|call| call.writes_log()) {
            match call.data.len() {
                FRAME_HEADER => commits = call.data[4..8] != [0; 4],
                length if length >= 512 => pages.push(Page { call, commits }),
                // The log's own header.
                _ => {}
            }
        }
        pages
    }
}

/// `name(file, arguments) = result`, if it succeeded.
fn call(text: &str, begin: usize, end: usize) -> Option<Call> {
    let (name, arguments) = text.split_once('(')?;
    let (arguments, result) = arguments.rsplit_once(" = ")?;
    if result.starts_with('-') {
        return None;
    }
    let file = arguments.split_once('<')?.1.split_once('>')?.0;
    let data = arguments.split('"').skip(1).step_by(2).flat_map(unescaped).collect();
    Some(Call { name: name.to_owned(), file: String::from_utf8_lossy(&unescaped(file)).into_owned(), data, begin, end })
}

/// The bytes of `\x6b\x5f`; other text stands for itself.
fn unescaped(text: &str) -> Vec<u8> {
    let hex = |pair: &str| u8::from_str_radix(pair, 16).ok();
    let escaped: Option<Vec<u8>> = text.split("\\x").skip(1).map(hex).collect();
    escaped.filter(|_| text.starts_with("\\x")).unwrap_or_else(|| text.as_bytes().to_owned())
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// Everything in `data` that reads as a key id.
fn key_ids(data: &[u8]) -> Vec<String> {
    let is_id = |window: &&[u8]| window.starts_with(b"k_") && window[2..].iter().all(u8::is_ascii_hexdigit);
    data.windows(34).filter(is_id).map(|id| String::from_utf8_lossy(id).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "k_0123456789abcdef0123456789abcdef";

    fn escaped(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()
    }

    fn header(size: u8) -> String {
        let mut header = [0; 24];
        header[7] = size;
        format!("7 write(5<{}>, \"{}\", 24) = 24", escaped(b"/d/sentinel.db-wal"), escaped(&header))
    }

    fn page(text: &str) -> String {
        let mut page = vec![0; 4096];
        page[100..100 + text.len()].copy_from_slice(text.as_bytes());
        format!("7 write(5<{}>, \"{}\", 4096) = 4096", escaped(b"/d/sentinel.db-wal"), escaped(&page))
    }

    fn sync(file: &[u8]) -> String {
        format!("7 fdatasync(5<{}>) = 0", escaped(file))
    }

    fn answer() -> String {
        let socket = escaped(b"socket:[16041]");
        let (head, data) = (escaped(&[0; 9]), escaped(format!("..key_id..{ID}..").as_bytes()));
        format!(
            "9 writev(11<{socket}>, [{{iov_base=\"{head}\", iov_len=9}}, {{iov_base=\"{data}\", iov_len=50}}], 2) = 59"
        )
    }

    fn judge(lines: &[String]) -> Result<usize, String> {
        Trace::parse(&lines.join("\n")).acknowledged(ID)
    }

    const WAL: &[u8] = b"/d/sentinel.db-wal";

    #[test]
    fn an_answer_after_the_sync_of_its_commit_passes() {
        let good = [header(0), page(ID), header(9), page("x"), sync(WAL), answer()];
        assert_eq!(judge(&good), Ok(1));
        assert_eq!(judge(&[header(9), page(ID), sync(WAL), answer()]), Ok(1));
        assert_eq!(Trace::parse(&good.join("\n")).answered(), BTreeSet::from([ID.to_owned()]));
        assert_eq!(Trace::parse(&good.join("\n")).syncs(), 1);
    }

    #[test]
    fn an_answer_before_the_sync_is_found() {
        assert!(judge(&[header(9), page(ID), answer(), sync(WAL)]).is_err());
        assert!(judge(&[header(9), page(ID), answer()]).is_err(), "synchronous=OFF");
        assert!(judge(&[sync(WAL), header(9), page(ID), answer()]).is_err(), "an earlier transaction's sync");
        assert!(judge(&[answer()]).is_err(), "never written at all");
    }

    #[test]
    fn a_sync_that_does_not_cover_the_commit_does_not_count() {
        assert!(judge(&[header(9), page(ID), sync(b"/d/sentinel.db"), answer()]).is_err(), "another file");
        let failed = format!("7 fdatasync(5<{}>) = -1 EIO (Input/output error)", escaped(WAL));
        assert!(judge(&[header(9), page(ID), failed, answer()]).is_err());
        assert!(judge(&[header(0), page(ID), sync(WAL), answer()]).is_err(), "no commit");
        assert!(judge(&[header(0), page(ID), sync(WAL), header(9), page("x"), answer()]).is_err(), "commit unsynced");
    }

    #[test]
    fn calls_that_overlap_are_ordered_by_their_ends_and_beginnings() {
        let wal = escaped(WAL);
        let begins = format!("8 fdatasync(5<{wal}> <unfinished ...>");
        let ends = "8 <... fdatasync resumed>) = 0".to_owned();
        let early = [header(9), begins.clone(), page(ID), ends.clone(), answer()];
        assert!(judge(&early).is_err(), "the sync began before the write had ended");
        let late = [header(9), page(ID), begins.clone(), answer(), ends.clone()];
        assert!(judge(&late).is_err(), "the answer left before the sync had ended");
        assert_eq!(judge(&[header(9), page(ID), begins, ends, answer()]), Ok(1));
    }

    #[test]
    fn every_change_of_a_key_needs_its_own_sync() {
        let first = [header(9), page(ID), sync(WAL), answer()];
        let second = [header(9), page(ID), sync(WAL), answer()];
        assert_eq!(judge(&[first.clone(), second].concat()), Ok(2));
        assert!(judge(&[first.clone().to_vec(), vec![answer()]].concat()).is_err());
        assert!(judge(&[first.to_vec(), vec![header(9), page(ID), answer()]].concat()).is_err());
    }
}
