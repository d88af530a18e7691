#!/bin/sh
# Models by their name on the hub, out of a cache as the hub's own tools leave it: files that are
# links to blobs, branches and commits, an incomplete download. Nothing is ever fetched.
cd "$(dirname "$0")/../.." || exit 1
lorash=${LORASH:-build/lorash}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
export NO_COLOR=1 HF_HUB_CACHE="$dir/hub"
repository="$HF_HUB_CACHE/models--org--tiny"
main=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
old=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
n=0 bad=0

ok() { # condition-status name
    n=$((n + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $n - $2"
    else
        echo "not ok $n - $2"
        sed 's/^/# /' "$dir/out"
        bad=1
    fi
}

says() { # wanted-code text name script
    printf '%s\n' "$4" >"$dir/script.lua"
    "$lorash" "$dir/script.lua" >"$dir/out" 2>&1 </dev/null
    found=$?
    [ "$found" -eq "$1" ] && grep -qF -- "$2" "$dir/out"
    ok $? "$3 (exit code $found)"
}

# --- the cache: main is a folder of safetensors and a tokenizer, v1 a GGUF file
cat >"$dir/make.lua" <<'END'
package.path = "tests/lua/?.lua;" .. package.path
local folder = arg[1]
AutoModelForCausalLM.from_pretrained("tests/golden/llama_tied_gqa.gguf"):save_pretrained(folder)
require("tiny").tokenizer(folder)
END
mkdir -p "$dir/made" "$repository/refs" "$repository/blobs" "$repository/snapshots/$main" \
    "$repository/snapshots/$old"
"$lorash" "$dir/make.lua" "$dir/made" >"$dir/out" 2>&1
ok $? "a model folder is made"
i=0
for file in "$dir/made"/*; do
    i=$((i + 1))
    mv "$file" "$repository/blobs/$i"
    ln -s "../../blobs/$i" "$repository/snapshots/$main/$(basename "$file")"
done
cp tests/golden/llama_untied_mha.gguf "$repository/snapshots/$old/tiny.gguf"
printf %s "$main" >"$repository/refs/main"
printf %s "$old" >"$repository/refs/v1"

load='local m = AutoModelForCausalLM.from_pretrained'
show='print(m.name_or_path, m.config.hidden_size)'
says 0 "org/tiny	32" "a model by its name" "$load(\"org/tiny\") $show"
says 0 "org/tiny	32" "its branch main" "$load(\"org/tiny\", {revision = \"main\"}) $show"
says 0 "org/tiny	24" "another branch" "$load(\"org/tiny\", {revision = \"v1\"}) $show"
says 0 "org/tiny@v1	24" "the branch in the name" "$load(\"org/tiny@v1\") $show"
says 0 "org/tiny	24" "a commit" "$load(\"org/tiny\", {revision = \"$old\"}) $show"
says 0 "org/tiny	97" "a tokenizer by its name" \
    'local t = AutoTokenizer.from_pretrained("org/tiny") print(t.name_or_path, #t)'
says 1 "revision 'v2' is not in the hub cache; hint: there is main, v1" "a branch that is not there" \
    "$load(\"org/tiny\", {revision = \"v2\"})"
says 1 "no branch, tag or commit" "a revision that climbs" \
    "$load(\"org/tiny\", {revision = \"../x\"})"
says 1 "did you mean 'org/tiny'?" "a misspelt name" "$load(\"org/tinny\")"
says 1 "and nothing is downloaded; hint: get it with" "a name that is nowhere" "$load(\"someone/something\")"
mkdir -p "$dir/org/tiny"
cp tests/golden/llama_untied_mha.gguf "$dir/org/tiny/model.gguf"
says 0 "$dir/org/tiny	24" "a path comes first, a folder with one GGUF file is that file" \
    "$load(\"$dir/org/tiny\") $show"
rm "$repository/blobs/$(basename "$(readlink "$repository/snapshots/$main/model.safetensors")")"
says 1 "model.safetensors is a link to a file that is not there" "an incomplete download" \
    "$load(\"org/tiny\")"

echo "1..$n"
exit $bad
