#!/bin/sh
# Data sets by name out of the hub cache, and a row as trainer:show_row prints it.
cd "$(dirname "$0")/../.." || exit 1
lorash=${LORASH:-build/lorash}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
export NO_COLOR=1 HF_HUB_CACHE="$dir/hub"
n=0 bad=0

says() { # name, wanted code, wanted text (in either stream), code
    "$lorash" -e "$4" >"$dir/out" 2>"$dir/err" </dev/null
    found=$?
    n=$((n + 1))
    if [ $found -eq "$2" ] && cat "$dir/out" "$dir/err" | grep -qF -- "$3"; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1: exit code $found, wanted $2 and: $3"
        sed 's/^/# /' "$dir/out" "$dir/err"
        bad=1
    fi
}

commit=0123456789abcdef0123456789abcdef01234567
repository="$dir/hub/datasets--org--name"
mkdir -p "$repository/refs" "$repository/blobs" "$repository/snapshots/$commit/data"
printf %s $commit >"$repository/refs/main"
printf 'a\n1\n2\n' >"$repository/blobs/x"
ln -s ../../../blobs/x "$repository/snapshots/$commit/data/train-00000-of-00001.csv"
ln -s ../../../blobs/x "$repository/snapshots/$commit/data/test-00000-of-00001.csv"

says "a data set by its name" 0 "2	4" \
    'local d = load_dataset("org/name"); print(#d.test, #load_dataset("org/name", {split = "train+test"}))'
says "a revision" 0 "2" "print(#load_dataset('org/name', {split = 'test', revision = '$commit'}))"
says "another revision" 1 "revision 'v2' is not in the hub cache; hint: there is main" \
    'load_dataset("org/name", {revision = "v2"})'
says "a misspelt name" 1 "did you mean 'org/name'" 'load_dataset("org/nam")'
says "a name that is not there" 1 "hf download --repo-type dataset" 'load_dataset("other/thing")'

cat >"$dir/show.lua" <<'END'
local entries = { '"<|end|>":0' }
for code = 33, 126 do
    local c = string.char(code)
    if c == '"' or c == "\\" then c = "\\" .. c end
    entries[#entries + 1] = ('"%s":%d'):format(c, code - 31)
end
local file = assert(io.open(arg[1] .. "/tokenizer.json", "w"))
file:write('{"added_tokens":[{"id":0,"content":"<|end|>","special":true}],"pre_tokenizer":{"type":"ByteLevel",'
    .. '"add_prefix_space":false,"use_regex":true},"decoder":{"type":"ByteLevel"},"model":{"type":"BPE","vocab":{'
    .. table.concat(entries, ",") .. ',"\u{120}":96},"merges":[]}}')
file:close()
local tokenizer = AutoTokenizer.from_pretrained(arg[1] .. "/tokenizer.json")
tokenizer.eos_token = "<|end|>"
local trainer = SFTTrainer{ model = AutoModelForCausalLM.from_pretrained("tests/golden/llama_tied_gqa.gguf"),
    train_dataset = Dataset.from_list{ { prompt = "why?", completion = " so." } }, processing_class = tokenizer,
    peft_config = LoraConfig{ r = 2 }, args = SFTConfig{ max_steps = 1, output_dir = arg[1] .. "/out" } }
trainer:show_row(1)
END
n=$((n + 1))
"$lorash" "$dir/show.lua" "$dir" >"$dir/out" 2>"$dir/err" </dev/null
if LC_ALL=C.UTF-8 grep -qxF 'why?⟦ so.<|end|>⟧' "$dir/out" && grep -q '9 tokens . 5 learned' "$dir/err"; then
    echo "ok $n - a row with what is learned set off"
else
    echo "not ok $n - a row with what is learned set off"
    sed 's/^/# /' "$dir/out" "$dir/err"
    bad=1
fi
n=$((n + 1))
"$lorash" --color always "$dir/show.lua" "$dir" >"$dir/out" 2>"$dir/err" </dev/null
if grep -qF "$(printf '\033[2mwhy?\033[0m\033[1;32m so.<|end|>\033[0m')" "$dir/out"; then
    echo "ok $n - in colour"
else
    echo "not ok $n - in colour"
    cat -v "$dir/out" "$dir/err" | sed 's/^/# /'
    bad=1
fi

echo "1..$n"
exit $bad
