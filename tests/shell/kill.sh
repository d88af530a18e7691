#!/bin/sh
# Training that is killed, at any moment and again and again, loses at most one save; ended by
# SIGTERM, SIGHUP or Ctrl-C it saves and says how to go on. KILLS (default 30) sets how often.
cd "$(dirname "$0")/../.." || exit 1
lorash=$(realpath "${LORASH:-build/lorash}")
model=$(realpath tests/golden/llama_tied_gqa.gguf)
tiny=$(realpath tests/lua/tiny.lua)
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
export LC_ALL=C.UTF-8 MODEL="$model" TINY="$tiny"
n=0 bad=0

ok() { # condition-status name
    n=$((n + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $n - $2"
    else
        echo "not ok $n - $2"
        for f in said err; do [ ! -f "$dir/$f" ] || sed "s/^/# $f: /" "$dir/$f" | tail -n 30; done
        bad=1
    fi
}

cat >recipe.lua <<'END'
local tokenizer = dofile(os.getenv("TINY")).tokenizer(".")
local rows = {}
for i = 1, 50 do rows[i] = { text = ("row %d: %s"):format(i, ("ab"):rep(i % 5 + 1)) } end
local args = cli(TrainingArguments{ output_dir = "out", max_steps = 100000, per_device_train_batch_size = 4,
    learning_rate = 1e-3, lr_scheduler_type = "constant", logging_steps = 5, save_steps = 1, save_total_limit = 3 })
local trainer = SFTTrainer{ model = AutoModelForCausalLM.from_pretrained(os.getenv("MODEL")), args = args,
    train_dataset = Dataset.from_list(rows), processing_class = tokenizer,
    peft_config = LoraConfig{ r = 4, lora_dropout = 0.1, target_modules = "all-linear" } }
trainer:train()
END

# Waits until the file holds the text; at most 20 s.
until_seen() {
    i=0
    until grep -q "$2" "$1" 2>/dev/null || [ $i -gt 1000 ]; do
        sleep 0.02
        i=$((i + 1))
    done
}

last_saved() {
    sed -n 's/^step=\([0-9]*\) saved=.*/\1/p' said | tail -n 1
}

# --- how long a start takes here, until something is saved: kills are spread over that and more
: >said
begun=$(date +%s%N)
"$lorash" --threads 1 recipe.lua >said 2>err &
pid=$!
until_seen said 'saved='
kill -9 $pid
wait $pid 2>/dev/null
start=$((($(date +%s%N) - begun) / 1000000))

# --- kill -9 again and again: what was said to be saved is there
kills=${KILLS:-30} k=0 saved=$(last_saved) lost=0 failed=0 resumed=0
while [ $k -lt "$kills" ]; do
    k=$((k + 1))
    : >said
    "$lorash" --threads 1 recipe.lua --resume_from_checkpoint >said 2>err &
    pid=$!
    # moments spread over starting, reading, training and saving
    sleep "$(awk -v k=$k -v t=$start 'BEGIN { printf "%.3f", t / 1000 * (0.3 + (k * 61 % 97) / 97 * 2.5) }')"
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    if [ $? -ne 137 ]; then # it ended by itself: that must not be
        failed=$((failed + 1))
        cat err >>failures
    fi
    if grep -q 'resumed from' err; then
        resumed=$((resumed + 1))
        from=$(sed -n 's/.*resumed from .*: step \([0-9]*\) of.*/\1/p' err)
        [ "$from" -ge "$saved" ] || lost=$((lost + 1))
    fi
    now=$(last_saved)
    [ -z "$now" ] || saved=$now
done
[ $failed -eq 0 ]
ok $? "$kills kills: every start went well ($failed did not)"
[ $lost -eq 0 ] && [ $resumed -gt 0 ] && [ "$saved" -gt 0 ]
ok $? "$resumed resumed, none behind what was saved ($lost were); step $saved reached"

# --- to a quiet end: no stray is left, and the weights are those of a run that was never killed
goal=$((saved + 3))
"$lorash" --threads 2 recipe.lua --resume_from_checkpoint --max_steps $goal >said 2>err
ok $? "the last one ends by itself"
strays=$(find out -name '*.tmp' 2>/dev/null | wc -l)
[ "$strays" -eq 0 ]
ok $? "nothing half done is left"
count=$(find . -maxdepth 2 -name 'checkpoint-*' | wc -l)
[ "$count" -eq 3 ]
ok $? "save_total_limit holds: $count checkpoints"
"$lorash" --threads 1 recipe.lua --output_dir whole --max_steps $goal --save_steps 1000000 >whole.log 2>&1
cmp -s "out/checkpoint-$goal/adapter_model.safetensors" "whole/checkpoint-$goal/adapter_model.safetensors"
ok $? "after all the kills: the same bits as in one go"

# --- signals that leave time to save
for case in TERM:143 HUP:129 INT:130; do
    signal=${case%:*} wanted=${case#*:}
    rm -rf "run-$signal"
    "$lorash" recipe.lua --output_dir "run-$signal" --save_strategy no --max_steps 100000 >said 2>err &
    pid=$!
    until_seen said 'step=10 '
    kill -s "$signal" $pid
    wait $pid
    code=$?
    [ $code -eq "$wanted" ]
    ok $? "SIG$signal: exit code $code, wanted $wanted"
    step=$(sed -n 's/.*saved: .*checkpoint-\([0-9]*\),.*/\1/p' err)
    [ "${step:-0}" -ge 10 ]
    ok $? "a checkpoint of step ${step:-none}"
    command=$(sed -n 's/.*goes on with: lorash //p' err)
    wanted="recipe.lua --output_dir run-$signal --save_strategy no --max_steps 100000"
    wanted="$wanted --resume_from_checkpoint run-$signal/checkpoint-$step"
    [ "$command" = "$wanted" ]
    ok $? "and the command that goes on"
    # shellcheck disable=SC2086 # a command line
    "$lorash" $command --max_steps $((step + 2)) --save_strategy steps >said 2>err
    ok $? "which does"
    grep -q "resumed from run-$signal/checkpoint-$step: step $step of" err
    ok $? "from where it was"
done

# --- at the prompt, behind a run that is paused
mkfifo typed
"$lorash" -i recipe.lua --output_dir paused --save_strategy no --max_steps 3 >said 2>err <typed &
pid=$!
exec 9>typed
cat >&9 <<'END'
t = SFTTrainer{ model = AutoModelForCausalLM.from_pretrained(os.getenv("MODEL")), train_dataset = Dataset.from_list{ { text = "abc" } },
    args = TrainingArguments{ max_steps = 9, output_dir = "prompt", save_strategy = "no" },
    processing_class = AutoTokenizer.from_pretrained("tokenizer.json"), peft_config = LoraConfig{ r = 2 },
    callbacks = { { on_step_end = function(a, state) if state.global_step == 4 then error("pause", 0) end end } } }
t:train()
print("behind it")
END
until_seen said 'behind it'
kill -HUP $pid
wait $pid
code=$?
exec 9>&-
[ $code -eq 129 ]
ok $? "SIGHUP at the prompt: $code"
[ -f prompt/checkpoint-4/manifest.json ]
ok $? "saves what was paused there"

# --- and where nothing is trained
"$lorash" -e 'io.stdout:write("up\n") io.stdout:flush() while true do pcall(function() while true do end end) end' >said 2>err &
pid=$!
until_seen said up
kill -TERM $pid
wait $pid
code=$?
[ $code -eq 143 ]
ok $? "SIGTERM ends a loop that catches everything: $code"

echo "1..$n"
exit $bad
