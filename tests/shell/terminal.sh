#!/bin/sh
# The prompt on a terminal: lines, keys, paste, history, Tab, Ctrl-C.
cd "$(dirname "$0")/../.." || exit 1
if ! command -v expect >/dev/null 2>&1; then
    echo "ok 1 - the prompt on a terminal # SKIP expect is not installed"
    exit 0
fi
lorash=${LORASH:-build/lorash}
if "$lorash" --version | grep -q 'without Readline'; then
    echo "ok 1 - the prompt on a terminal # SKIP this build has no Readline"
    exit 0
fi
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
export LORASH="$lorash" DIR="$dir" LORASH_HISTORY="$dir/history" NO_COLOR=1 TERM=xterm LC_ALL=C.UTF-8
unset COLUMNS LINES INPUTRC
cat >"$dir/test.exp" <<'END'
log_user 0
set timeout 10
set n 0
set bad 0
proc ok {good name} {
    global n bad expect_out
    incr n
    if {$good} { puts "ok $n - $name" } else {
        puts "not ok $n - $name"
        if {[info exists expect_out(buffer)]} { puts "# [string map {\n "\n# "} $expect_out(buffer)]" }
        set bad 1
    }
}
# waits for the pattern (a regular expression)
proc see {pattern name} {
    global expect_out
    expect {
        -re $pattern { ok 1 $name }
        timeout { ok 0 "$name (nothing like $pattern came)" }
        eof { ok 0 "$name (it ended)" }
    }
}
# waits for the end of the program and returns its exit code; never for ever
proc finish {} {
    global spawn_id
    expect { eof {} timeout { exec kill -9 [exp_pid] } }
    return [lindex [wait] 3]
}
proc start {args} {
    global env spawn_id
    uplevel 1 { global spawn_id }
    eval spawn -noecho $env(LORASH) $args
    stty rows 24 columns 80 < $spawn_out(slave,name)
}
start
see {Tab completes.*\[1\]> $} "banner and prompt"
send "1 + 1\r"
see {\r2\r\n.*\[2\]> $} "a value"
send "x = {1,\r"
expect -timeout 1 -re {\[3\]> } { ok 0 "an unfinished cell goes on" } timeout { ok 1 "an unfinished cell goes on" }
send "2}; #x\r"
see {\r2\r\n.*\[3\]> $} "and runs when it is complete"
send "half typed"
expect -re {half typed}
send "\003"
see {\^C.*\[3\]> $} "Ctrl-C at the prompt is a new line"
send "\033\[A"
see {half typed} "what was typed is one key up"
send "\003"
see {\[3\]> $} "Ctrl-C again"
send "while true do end\r"
sleep 0.3
send "\003"
see {interrupted.*\[4\]> $} "Ctrl-C stops a loop"
send "co = coroutine.wrap(function() while true do end end) co()\r"
sleep 0.3
send "\003"
see {interrupted.*\[5\]> $} "Ctrl-C stops a coroutine"
send "while true do pcall(function() while true do end end) end\r"
sleep 0.3
send "\003"
sleep 0.2
send "\003"
see {interrupted.*\[6\]> $} "a second Ctrl-C stops a loop that catches the first"
send "string.form\t"
see {format\($} "Tab completes"
send "\003"
see {\[6\]> $} "a line is given up"
send "string.\t"
see {gmatch\(.*\[6\]> string\.$} "Tab lists"
send "\003"
see {\[6\]> $} "and again"
send "ran = 0; trap = setmetatable({}, {__index = function() ran = ran + 1 error('trap') end})\r"
see {\[7\]> $} "a booby trap"
send "trap.x.\t\ttrap.\t\tran\025"
send "ran\r"
see {\r0\r\n.*\[8\]> $} "Tab runs none of it"
send "\033\[200~\[1\]> a = 1\r\n\[2\]> b = 2\r\n\tprint('sum', a + b)\033\[201~"
expect -timeout 1 -re {sum\t3} { ok 0 "a paste waits for Enter" } timeout { ok 1 "a paste waits for Enter" }
send "\r"
see {sum\t3\r\n.*\[9\]> $} "and runs as one cell, prompts taken out"
send "True\r"
see {error: undefined global 'True'; in Lua write true\r\n  \[9\]:1  True\r\n         ~~~~\r\n.*\[10\]> $} "an error with its place"
send "for i = 1, 2 do\rprint('line', i)\rend\r"
see {line\t1\r\nline\t2\r\n.*\[11\]> $} "a loop over three lines"
send "p = lorash.probe; p.live_line('at work 10%') print('above') io.write('part ') p.live_line('20%') print('done') p.live_line('at work 30%');\r"
see {\[12\]> $} "a live line"
set screen $expect_out(buffer)
ok [regexp {at work 10%[^\n]*\r\033\[Kabove\r\n} $screen] "is wiped before output and drawn below it"
ok [regexp {part done\r\n} $screen] "does not cut into a line"
ok [regexp {\r\033\[K[^\n]*\[12\]> $} $screen] "and is gone at the prompt"
send "\033\[A\033\[A\033\[A\033\[A\001local \r"
see {\[13\]> $} "up goes through the lines of an entry"
send " secret = 1\r"
see {\[14\]> $} "a line that begins with a blank"
send "\004"
set code [finish]
ok [expr {$code == 0}] "Ctrl-D leaves with exit code 0: $code"

set f [open $env(LORASH_HISTORY)]
set text [read $f]
close $f
ok [string match "*\nx = {1,\n*2}; #x\n#*" $text] "history holds a cell of two lines"
ok [regexp {^#[0-9]+\n} $text] "with times"
ok [expr {![string match "*secret*" $text]}] "without the line that began with a blank"
ok [expr {[file attributes $env(LORASH_HISTORY) -permissions] == "00600"}] "readable by its owner alone"

# two shells at once: both keep their lines
start -q
set one $spawn_id
see {\[1\]> $} "a first shell"
start -q
set two $spawn_id
see {\[1\]> $} "a second shell"
foreach {id word} [list $one first1 $two second1 $one first2 $two second2] {
    set spawn_id $id
    send "'$word'\r"
    expect -re "\"$word\""
    expect -re {\]> $}
}
foreach id [list $one $two] { set spawn_id $id; send "\004"; finish }
set f [open $env(LORASH_HISTORY)]
set text [read $f]
close $f
ok [expr {[regexp -all {'first[12]'} $text] == 2 && [regexp -all {'second[12]'} $text] == 2}] "two shells lose no line"
start -q
see {\[1\]> $} "a later shell"
send "\033\[A"
see {second2} "remembers"
send "\025\003"
expect -re {\]> $}
send "\022x = {1"
see {2\}; #x} "and finds a cell by searching"
send "\r"
see {\r2\r\n.*\[[0-9]+\]> $} "which runs"
send "\004"
finish

set env(TERM) dumb
start
see {\[1\]> $} "a dumb terminal has a prompt"
ok [expr {![string match "*\033*" $expect_out(buffer)]}] "without escape sequences"
send "'a' .. 'b'\r"
see {"ab"\r\n.*\[2\]> $} "and works"
send "\003"
see {\[2\]> $} "with Ctrl-C"
send "\004"
set code [finish]
ok [expr {$code == 0}] "and Ctrl-D: $code"
puts "1..$n"
exit $bad
END
exec_status=0
expect "$dir/test.exp" || exec_status=$?
exit $exec_status
