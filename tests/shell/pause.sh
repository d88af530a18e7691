#!/bin/sh
# Ctrl-C at the prompt pauses training; paused again and again, at any moment and sometimes twice in
# a row, the run ends with the bits of one in one go. PAUSES (default 12) sets how often.
cd "$(dirname "$0")/../.." || exit 1
if ! command -v expect >/dev/null 2>&1; then
    echo "ok 1 - pausing on a terminal # SKIP expect is not installed"
    exit 0
fi
lorash=$(realpath "${LORASH:-build/lorash}")
if "$lorash" --version | grep -q 'without Readline'; then
    echo "ok 1 - pausing on a terminal # SKIP this build has no Readline"
    exit 0
fi
MODEL=$(realpath tests/golden/llama_tied_gqa.gguf)
TINY=$(realpath tests/lua/tiny.lua)
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
export LORASH="$lorash" MODEL TINY PAUSES="${PAUSES:-12}" LORASH_HISTORY="$dir/history" NO_COLOR=1 TERM=xterm LC_ALL=C.UTF-8
unset COLUMNS LINES INPUTRC

cat >setup.lua <<'END'
dofile(os.getenv("TINY")).tokenizer(".") -- writes tokenizer.json
local rows = {}
for i = 1, 50 do rows[i] = { text = ("row %d: %s"):format(i, ("ab"):rep(i % 5 + 1)) } end
function make(out, steps)
    t = SFTTrainer{ model = AutoModelForCausalLM.from_pretrained(os.getenv("MODEL")), train_dataset = Dataset.from_list(rows),
        eval_dataset = Dataset.from_list(rows), processing_class = AutoTokenizer.from_pretrained("tokenizer.json"),
        args = TrainingArguments{ output_dir = out, max_steps = steps, per_device_train_batch_size = 8, micro_batch_tokens = 30,
            learning_rate = 1e-3, logging_steps = 5, save_steps = 7, eval_strategy = "steps", eval_steps = 5 },
        peft_config = LoraConfig{ r = 4, lora_dropout = 0.1, target_modules = "all-linear" } }
end
END

cat >pause.exp <<'END'
log_user 0
set timeout 60
set bad 0
proc ok {n good name} {
    global bad expect_out
    if {$good} { puts "ok $n - $name" } else {
        puts "not ok $n - $name"
        if {[info exists expect_out(buffer)]} { puts "# [string map {\n "\n# "} $expect_out(buffer)]" }
        set bad 1
    }
}
spawn -noecho $env(LORASH) -q -i setup.lua
stty rows 24 columns 80 < $spawn_out(slave,name)
expect -re {\[1\]> $}
send "make('paused', 4000)\r"
expect -re {\[2\]> $}
set paused 0
set cell 2
for {set k 0} {$k < $env(PAUSES)} {incr k} {
    send "t:train()\r"
    expect -re {step}
    after [expr {20 + ($k * 61) % 97 * 3}]
    send "\003"
    if {$k % 3 == 2} { after 5; send "\003" }
    incr cell
    expect {
        -re "status = \"paused\" .*\\\[$cell\\\]> \$" { incr paused }
        -re "\\\[$cell\\\]> \$" { if {$k % 3 == 2} { incr paused } } # the second press cut the report
        timeout { break }
    }
}
ok 1 [expr {$paused == $env(PAUSES)}] "paused $paused of $env(PAUSES) times"
# a run of a few steps more than were done, which goes on from what the paused one saved
send "print('at', t.state.global_step)\r"
expect -re {at\t([0-9]+)}
set at $expect_out(1,string)
incr cell
expect -re "\\\[$cell\\\]> \$"
send "os.execute('rm -rf kept'); t:save_model('kept'); make('whole', 4000); while t.state.global_step < $at do local cb = { on_step_end = function(_, s, c) if s.global_step == $at then c.should_training_stop = true end end }; t:add_callback(cb); t:train() end t:save_model('same') print('the end')\r"
incr cell
expect -re "the end\r\n.*\\\[$cell\\\]> \$"
send "\004"
expect eof
puts "# step $at"
exit $bad
END
if expect pause.exp >said; then bad=0; else bad=1; fi
cat said
if cmp -s kept/adapter_model.safetensors same/adapter_model.safetensors; then
    echo "ok 2 - the same bits as in one go"
else
    echo "not ok 2 - the same bits as in one go"
    bad=1
fi
echo "1..2"
exit $bad
