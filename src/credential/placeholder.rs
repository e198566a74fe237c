//! What clients send when they have no key: `undefined`, `not-needed`, `YOUR_API_KEY`, `$OPENAI_API_KEY`.
//!
//! Many users send the same placeholder, so the first of them would own it and lock out the others. A placeholder is
//! therefore never a key, under any profile.
//!
//! Placeholders are recognised by the words that they consist of, because clients write them in dozens of ways:
//! `your-api-key`, `YOUR_OPENAI_API_KEY`, `sk-your-key-here`. No key generator makes keys of these words only.

/// A kind of placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// Consists only of known words, so it is public, and no secret is in it. Beside a key it is ignored.
    Words,
    /// A template that nobody filled in: `$OPENAI_API_KEY`, `<key>`. It may contain a key (`${sk-…}`), so it is not
    /// ignored beside one.
    Template,
}

/// A word, whether it makes a text that consists of known words a placeholder, and where it was seen.
type Word = (&'static str, bool, &'static str);

const SENTINELS: &str = "jas3333/GPT-Helper#26: `undefined`; mozilla-services/cliquet#182: `Bearer None`; \
    NousResearch/hermes-agent@0006718 hermes_cli/auth.py _PLACEHOLDER_SECRET_VALUES: `null`, `none`, `dummy`, \
    `placeholder`, `example`, `changeme`, `your_api_key`, `your_api_key_here`";
const UNUSED: &str = "icereed/paperless-gpt@20d0102 internal/constants/constants.go DummyAPIKey: `not-needed`; \
    trustgraph-ai/trustgraph@14c51f2 trustgraph-flow/trustgraph/model/text_completion/llamafile/llm.py: \
    `sk-no-key-required`; Zeeeepa/k2think2api3 test_client.py: `sk-any`; infiniflow/ragflow@0105193 \
    rag/llm/embedding_model.py LocalAIEmbed: `empty`; AI4Bharat/FERMAT client.py: `EMPTY`; \
    docs.openinterpreter.com/language-models/local-models/lm-studio: `fake_key`";
const SERVERS: &str = "OpenHands/OpenHands#806: `lm-studio`; BerriAI/litellm#7811: `lm_studio_needs_one`; \
    ollama/ollama@043e990 docs/api/openai-compatibility.mdx: `ollama`";
const TEMPLATES: &str = "openinterpreter/openinterpreter#539: `your-key-here`; redis-developer/ArXivChatGuru#1: \
    `ADD_YOUR…HERE`; mazh-cp/secure-ai-chat PRODUCTION_KEY_FIX.md: `your_ope…here`; Cinnamon/kotaemon#205: \
    `openai_key`; konradzagozda/vm .claude/rules/security.md: `REPLACE_ME_api_key`";
/// Prefixes of real keys and words between the others.
const FILLERS: &str = "in the texts above, and prefixes of keys as in 6dylan6/auto_comment#44: `sk-xxxxxx`";

#[rustfmt::skip]
const WORDS: [Word; 50] = [
    ("undefined", true, SENTINELS), ("null", true, SENTINELS), ("none", true, SENTINELS), ("dummy", true, SENTINELS),
    ("placeholder", true, SENTINELS), ("example", true, SENTINELS), ("changeme", true, SENTINELS),
    ("your", true, SENTINELS), ("here", true, SENTINELS),
    ("no", true, UNUSED), ("not", true, UNUSED), ("needed", true, UNUSED), ("required", true, UNUSED),
    ("used", true, UNUSED), ("unused", true, UNUSED), ("any", true, UNUSED), ("empty", true, UNUSED),
    ("fake", true, UNUSED), ("needs", true, UNUSED),
    ("ollama", true, SERVERS), ("lmstudio", true, SERVERS), ("studio", true, SERVERS), ("lm", false, SERVERS),
    ("one", false, SERVERS),
    ("add", true, TEMPLATES), ("insert", true, TEMPLATES), ("enter", true, TEMPLATES), ("replace", true, TEMPLATES),
    ("change", true, TEMPLATES), ("openai", true, TEMPLATES), ("anthropic", true, TEMPLATES),
    ("claude", true, TEMPLATES), ("gemini", true, TEMPLATES), ("azure", true, TEMPLATES),
    ("api", false, FILLERS), ("key", false, FILLERS), ("keys", false, FILLERS), ("apikey", false, FILLERS),
    ("token", false, FILLERS), ("secret", false, FILLERS), ("a", false, FILLERS), ("the", false, FILLERS),
    ("my", false, FILLERS), ("me", false, FILLERS), ("with", false, FILLERS), ("is", false, FILLERS),
    ("sk", false, FILLERS), ("ant", false, FILLERS), ("proj", false, FILLERS), ("api03", false, FILLERS),
];

/// The length of `placeholder`. Most keys have a longer word, which need not be compared with all.
const LONGEST_WORD: usize = 11;

/// Repeated, these are placeholders: MervinPraison/PraisonAI#380 (`xxxx`), mastra-ai/mastra#3752 (asterisks),
/// IBM/mcp-cli#133 (`11111111…`).
const REPEATED: &[u8] = b"xX*1";

/// Longer than any text of known words; a key of any length is scanned for templates only.
const LONGEST: usize = 64;

/// Whether `text` is a placeholder, and of which kind. ASCII case does not matter, and `_`, `.` and space count as `-`.
pub(super) fn find(text: &str) -> Option<Placeholder> {
    if text.len() <= LONGEST && is_words(text) {
        return Some(Placeholder::Words);
    }
    is_template(text).then_some(Placeholder::Template)
}

fn is_words(text: &str) -> bool {
    if text.eq_ignore_ascii_case("[object Object]") {
        return true;
    }
    let mut says = false;
    for word in text.as_bytes().split(|byte| matches!(byte, b'-' | b'_' | b'.' | b' ')) {
        let mut known = WORDS.iter().filter(|_| word.len() <= LONGEST_WORD);
        match known.find(|(known, ..)| word.eq_ignore_ascii_case(known.as_bytes())) {
            Some((_, alone, _)) => says |= alone,
            None if is_repeated(word) => says = true,
            None => return false,
        }
    }
    says
}

/// At least three of one character.
fn is_repeated(word: &[u8]) -> bool {
    word.len() >= 3 && REPEATED.contains(&word[0]) && word.iter().all(|byte| *byte == word[0])
}

/// A text that a shell, a template engine or a person should have replaced: yihong0618/bilingual_book_maker#195
/// (`${sk-…}`), acon96/home-llm#385 (`$OPENAI_API_KEY`), lancedb/lancedb#2387 (`$var:api_key`),
/// olololoe110399/bedtime_stories#6 (`<sk-…>`), chenfei-wu/TaskMatrix#183 (`{sk-…}`), github/codespaces-nextjs#9
/// (`process.env.OPENAI_API_KEY`).
fn is_template(text: &str) -> bool {
    if let Some(name) = text.strip_prefix('$') {
        let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let in_one_case =
            !name.bytes().any(|byte| byte.is_ascii_lowercase()) || !name.bytes().any(|byte| byte.is_ascii_uppercase());
        // Random keys may begin with `$`, and those of bcrypt or argon2 contain another.
        if (name.contains('_') && in_one_case && is_name(name))
            || ["env:", "var:"].iter().any(|scope| {
                name.get(..scope.len()).is_some_and(|head| head.eq_ignore_ascii_case(scope))
                    && is_name(&name[scope.len()..])
            })
        {
            return true;
        }
    }
    let is_enclosed =
        |(open, close): &(char, char)| text.len() > 2 && text.starts_with(*open) && text.ends_with(*close);
    [('<', '>'), ('{', '}'), ('[', ']'), ('(', ')'), ('%', '%')].iter().any(is_enclosed)
        || text.starts_with("process.env.")
        || text.as_bytes().windows(2).any(|pair| pair == b"${")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_send_without_a_key() {
        for text in [
            "undefined",
            "Undefined",
            "null",
            "None",
            "NONE",
            "EMPTY",
            "not-needed",
            "not_needed",
            "no-key-required",
            "sk-no-key-required",
            "lm-studio",
            "lm_studio_needs_one",
            "ollama",
            "YOUR_API_KEY",
            "your-api-key",
            "your_api_key_here",
            "YOUR_OPENAI_API_KEY",
            "sk-your-key-here",
            "ADD_YOUR_API_KEY_HERE",
            "OPENAI_API_KEY",
            "openai_key",
            "dummy",
            "sk-dummy-key",
            "fake_key",
            "sk-any",
            "changeme",
            "change-me",
            "REPLACE_ME_api_key",
            "xxxx",
            "sk-xxxxxxxxxxxx",
            "sk-proj-XXXXXXXX",
            "***",
            "sk-********",
            "11111111",
            "[object Object]",
            "not.needed",
            "no key",
        ] {
            assert_eq!(find(text), Some(Placeholder::Words), "{text}");
        }
        for text in [
            "$OPENAI_API_KEY",
            "$openai_api_key",
            "${OPENAI_API_KEY}",
            "${sk-0123456789}",
            "prefix-${KEY}",
            "$env:OPENAI_API_KEY",
            "$var:api_key",
            "<YOUR_API_KEY>",
            "<sk-0123456789>",
            "{{api_key}}",
            "{sk-0123456789}",
            "%OPENAI_API_KEY%",
            "process.env.OPENAI_API_KEY",
            "[your key]",
            "(my key)",
        ] {
            assert_eq!(find(text), Some(Placeholder::Template), "{text}");
        }
    }

    #[test]
    fn no_word_is_longer_than_the_longest() {
        assert_eq!(WORDS.iter().map(|(word, ..)| word.len()).max(), Some(LONGEST_WORD));
    }

    #[test]
    fn keys_are_no_placeholders() {
        for text in [
            "",
            "-",
            "sk-",
            "key",
            "my-api-key",
            "my-secret-key",
            "sk-1234",
            "sk-0123456789",
            "sk-litellm-master-key",
            "secret-token",
            "test-key",
            "$2b$12$abc_DEF",
            "$argon2id$v_19",
            "$Xk29Ffa_x",
            "$abc",
            "xx",
            "xxxxy",
            "sk-xxxxy",
            "your--key",
            "your-k",
            "aaaaaaaa",
            "22222222",
            "undefined1",
            "none-0123456789abcdef",
            "AIzaSyAbCdEf0123456789-_AbCdEf012345678",
        ] {
            assert_eq!(find(text), None, "{text}");
        }
    }

    #[test]
    fn each_word_has_its_source_and_is_there_once() {
        for (nth, (word, _, source)) in WORDS.iter().enumerate() {
            assert!(!source.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()));
            assert!(WORDS[..nth].iter().all(|(earlier, ..)| earlier != word), "{word}");
        }
    }
}
