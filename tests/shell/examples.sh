#!/bin/sh
# Every recipe of examples/ runs from start to end on the demo model, with few steps; the files it
# promises are there; a killed run that is resumed ends with the same bits.
cd "$(dirname "$0")/../.." || exit 1
lorash=${LORASH:-build/lorash}
case $lorash in
/*) ;;
*) lorash=$PWD/$lorash ;;
esac
if [ -z "${LORASH_DEMO_MODEL:-}" ]; then
    echo "ok 1 # SKIP no demo model: scripts/demo-model gets it"
    echo "1..1"
    exit 0
fi
case $lorash in
*san-*)
    echo "ok 1 # SKIP the demo model is too slow under sanitizers; the parts are tested on small models"
    echo "1..1"
    exit 0
    ;;
esac
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
export NO_COLOR=1
n=0 bad=0
head -n 17 examples/data/conditions.csv >"$dir/few.csv"
head -n 6 examples/data/library_chat.jsonl >"$dir/few.jsonl"

check() { # name, 0 = right
    n=$((n + 1))
    if [ "$2" -eq 0 ]; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1"
        sed 's/^/# /' "$dir/out" | tail -n 25
        bad=1
    fi
}

recipe() { # name, arguments...
    name=$1
    shift
    "$lorash" "examples/$name.lua" --output_dir "$dir/$name" "$@" >"$dir/out" 2>&1 </dev/null
    check "$name runs" $?
}

says() { # words that the last recipe printed
    grep -qF -- "$1" "$dir/out"
    check "it says: $1" $?
}

has() { # files under $dir
    for file; do
        [ -s "$dir/$file" ]
        check "$file is written" $?
    done
}

known=" disease_symptoms chat_sft adapter_to_llamacpp continue_adapter early_stopping resume "
for file in examples/*.lua; do
    name=$(basename "$file" .lua)
    case $known in
    *" $name "*) ;;
    *)
        n=$((n + 1)) bad=1
        echo "not ok $n - $file is not tested here"
        ;;
    esac
done

recipe disease_symptoms --csv "$dir/few.csv" --max_steps 1
says "--- after training"
recipe chat_sft --rows "$dir/few.jsonl" --max_steps 1
says "--- after"
recipe adapter_to_llamacpp --csv "$dir/few.csv" --max_steps 1
says "merged, from its file:"
has adapter_to_llamacpp/adapter/adapter_config.json adapter_to_llamacpp/adapter/adapter_model.safetensors \
    adapter_to_llamacpp/adapter.gguf adapter_to_llamacpp/merged-q8_0.gguf
recipe continue_adapter --csv "$dir/few.csv" --max_steps 1
has continue_adapter/second/adapter_model.safetensors
recipe early_stopping --csv "$dir/few.csv" --max_steps 2 --eval_steps 1 --save_steps 1
has early_stopping/loss.svg early_stopping/best/adapter_model.safetensors

recipe resume --csv "$dir/few.csv" --max_steps 4 --save_steps 1
wanted=$(tail -n 1 "$dir/out")
rm -rf "$dir/resume"
"$lorash" examples/resume.lua --csv "$dir/few.csv" --output_dir "$dir/resume" --max_steps 4 --save_steps 1 \
    >"$dir/out" 2>&1 </dev/null &
run=$!
while [ ! -d "$dir/resume/checkpoint-2" ] && kill -0 $run 2>/dev/null; do
    sleep 0.05
done
kill -9 $run 2>/dev/null
wait $run 2>/dev/null
recipe resume --csv "$dir/few.csv" --max_steps 4 --save_steps 1 --resume_from_checkpoint true
[ -n "$wanted" ] && [ "$(tail -n 1 "$dir/out")" = "$wanted" ]
check "a killed run that is resumed ends with the same bits" $?

echo "1..$n"
exit $bad
