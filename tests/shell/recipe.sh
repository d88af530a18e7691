#!/bin/sh
# The command line of a recipe: args, own = cli(TrainingArguments{...}, {...}).
cd "$(dirname "$0")/../.." || exit 1
lorash=${LORASH:-build/lorash}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
export NO_COLOR=1
n=0 bad=0

cat >"$dir/r.lua" <<'END'
local args, own = cli(TrainingArguments{ output_dir = "out", max_steps = 7, learning_rate = 2e-4 }, {
    csv = "default.csv", fast = false, share = 0.5, "csv",
})
print(args.output_dir, args.max_steps, args.learning_rate, args.lr_scheduler_type, own.csv, own.fast, own.share)
END

runs() { # name, wanted code, wanted text (in either stream), arguments...
    name=$1 code=$2 text=$3
    shift 3
    "$lorash" "$dir/r.lua" "$@" >"$dir/out" 2>"$dir/err" </dev/null
    found=$?
    n=$((n + 1))
    if [ $found -eq "$code" ] && cat "$dir/out" "$dir/err" | grep -qF -- "$text"; then
        echo "ok $n - $name"
    else
        echo "not ok $n - $name: exit code $found, wanted $code and: $text"
        sed 's/^/# /' "$dir/out" "$dir/err"
        bad=1
    fi
}

runs "the recipe's own values" 0 'out	7	0.0002	linear	default.csv	false	0.5'
runs "an override" 0 'out	5	0.0002	linear' --max_steps 5
runs "with an equals sign" 0 'out	5	0.001	linear' --max_steps=5 --learning_rate=1e-3
runs "with hyphens" 0 'out	5	' --max-steps 5
runs "a choice" 0 'cosine' --lr_scheduler_type cosine
runs "an alias" 0 'out	7	' --evaluation_strategy no
runs "the recipe's own options" 0 'x.csv	true	0.25' --csv x.csv --fast --share 0.25
runs "by position" 0 'y.csv	true' --fast y.csv
runs "a negative number" 0 'out	-1	' --max_steps -1
runs "a misspelt option" 2 "unknown option '--max_step'; did you mean 'max_steps'?" --max_step 5
runs "a misspelt own option" 2 "did you mean 'share'?" --shere 1
runs "a wrong type" 2 "max_steps" --max_steps many
runs "out of range" 2 "out of range" --label_smoothing_factor 8.95
runs "a wrong choice" 2 "is not one of the choices" --eval_strategy zigzag
runs "a missing value" 2 "--max_steps wants a value" --max_steps
runs "too many positions" 2 "unexpected argument 'b'" a b
runs "help" 0 '--max_steps 7' --help
runs "help of the recipe's own options" 0 '--csv default.csv' --help
n=$((n + 1))
if [ ! -s "$dir/err" ] && ! grep -q 'default.csv	' "$dir/out"; then
    echo "ok $n - help runs nothing else"
else
    echo "not ok $n - help runs nothing else"
    bad=1
fi
echo 'local a = cli(5)' >"$dir/r.lua"
runs "no object" 1 'cli wants an object with options, found 5'
echo 'pcall(cli, TrainingArguments{}) print("on")' >"$dir/r.lua"
runs "nothing to override" 0 'on'

echo "1..$n"
exit $bad
