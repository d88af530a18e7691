#!/bin/sh
# Exit codes, options, where output goes, and how errors look.
cd "$(dirname "$0")/../.." || exit 1
lorash=${LORASH:-build/lorash}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
export NO_COLOR=1
n=0 bad=0

ok() { # condition-status name
    n=$((n + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $n - $2"
    else
        echo "not ok $n - $2"
        sed 's/^/# /' "$dir/out" "$dir/err"
        bad=1
    fi
}

gives() { # wanted-code name command...
    wanted=$1 name=$2
    shift 2
    "$@" >"$dir/out" 2>"$dir/err" </dev/null
    found=$?
    [ "$found" -eq "$wanted" ]
    ok $? "$name: exit code $found, wanted $wanted"
}

out() { # wanted-text name
    [ "$(cat "$dir/out")" = "$1" ]
    ok $? "$2"
}

err() { # wanted-text name
    [ "$(cat "$dir/err")" = "$1" ]
    ok $? "$2"
}

has() { # file text name
    grep -qF -- "$2" "$dir/$1"
    ok $? "${3:-says $2}"
}

gives 0 "empty code" "$lorash" -e ''
out '' "and no output"
err '' "and no message"
gives 0 "two -e" "$lorash" -e 'x = 1' -e 'print(x + 1)'
out 2 "share their globals"
gives 1 "an error in -e" "$lorash" -e 'local x = True'
err "error: undefined global 'True'; in Lua write true
  (command line):1  local x = True
                              ~~~~" "error, place and source line"
gives 1 "a syntax error" "$lorash" -e 'if x != 2 then end'
err "error: 'then' expected near '!'; in Lua write ~= for 'not equal'
  (command line):1  if x != 2 then end
                         ~~" "Python's syntax is answered"
gives 1 "error(table)" "$lorash" -e 'error({})'
gives 1 "error(nil)" "$lorash" -e 'error(nil)'
gives 0 "pcall keeps it" "$lorash" -e 'print(pcall(function() return Flase end))'
has out "did you mean"
gives 7 "os.exit" "$lorash" -e 'os.exit(7)'
gives 2 "an unknown option" "$lorash" --devise cpu
err "error: unknown option '--devise'; did you mean '--device'?" "with the nearest one"
gives 2 "an unknown short option" "$lorash" -x
gives 2 "a missing value" "$lorash" --threads
gives 2 "a wrong number" "$lorash" --threads many -e ''
gives 2 "no threads" "$lorash" --threads 0 -e ''
gives 2 "a wrong colour" "$lorash" --color=blue -e ''
gives 2 "a wrong progress" "$lorash" --progress=dots -e ''
gives 2 "-e without code" "$lorash" -e
gives 3 "no such device" "$lorash" --device tpu -e ''
gives 0 "a device" "$lorash" --device=cpu --threads 1 --seed 7 -e 'print(1)'
gives 4 "no memory" "$lorash" -e 'lorash.probe.fail_at(1, true) local t = {} for i = 1, 100 do t[i] = {} end'
has err "out of memory"
gives 0 "version" "$lorash" --version
has out "GPL"
gives 0 "help" "$lorash" --help
has out "Exit status"
gives 1 "a missing file" "$lorash" "$dir/nothing.lua"
has err "nothing.lua"
gives 1 "a folder" "$lorash" "$dir"

cat >"$dir/recipe.lua" <<'END'
#!/usr/bin/env lorash
local helper = require "helper"
print(helper.twice(21), arg[1], arg[2], ...)
local t = {}
local function inner(row)
    return row.Prise * 2
end
if arg[1] == "fail" then
    inner{ Price = 1 }
end
END
echo 'return { twice = function(x) return 2 * x end }' >"$dir/helper.lua"
gives 0 "a recipe, its arguments, its modules" "$lorash" "$dir/recipe.lua" --fast x
out "42	--fast	x	--fast	x" "arg and ..."
gives 1 "an error in a recipe" "$lorash" "$dir/recipe.lua" fail
err "error: attempt to perform arithmetic on a nil value (field 'Prise'); did you mean 'Price'?
  $dir/recipe.lua:6  return row.Prise * 2
$(printf '%*s' $((${#dir} + 28)) '')~~~~~
  called from $dir/recipe.lua:9" "names file, line and the near field"
echo 'x = (1' >"$dir/syntax.lua"
gives 1 "a syntax error in a recipe" "$lorash" "$dir/syntax.lua"
has err "syntax.lua:1"
printf '\033Luaxxxxxxxx' >"$dir/code.luac"
gives 1 "bytecode" "$lorash" "$dir/code.luac"
printf 'return 1' >"$dir/helper.lua"
printf '\033Luaxxxxxxxx' >"$dir/helper.lua"
gives 1 "bytecode in a module" "$lorash" "$dir/recipe.lua"

echo 'print("from stdin", ...)' | "$lorash" - a b >"$dir/out" 2>"$dir/err"
ok $? "standard input"
out "from stdin	a	b" "and its arguments"
echo 'print("piped")' | "$lorash" >"$dir/out" 2>"$dir/err"
out piped "a pipe without arguments is a recipe"
echo 'x = ' | "$lorash" - >"$dir/out" 2>"$dir/err"
[ $? -eq 1 ]
ok $? "an error there is 1"

echo 'x = 5' >"$dir/set.lua"
echo 'x + 1' | "$lorash" -i "$dir/set.lua" >"$dir/out" 2>"$dir/err"
out 6 "-i goes on in the shell with the recipe's globals"
echo 'print(_, Out)' | "$lorash" -q -i -e 'y = 1' >"$dir/out" 2>"$dir/err"
ok $? "-i after -e"

"$lorash" -e 'io.write("a") print("b") io.stdout:write("c\n") io.stderr:write("d\n")' >"$dir/out" 2>"$dir/err"
out 'ab
c' "print and io.write share one stream"
if [ -e /dev/full ]; then
    "$lorash" -e 'print(1)' >/dev/full 2>"$dir/err"
    [ $? -eq 1 ]
    ok $? "a full disk is an error"
fi
"$lorash" --color=always -e 'x()' >"$dir/out" 2>"$dir/err"
grep -q "$(printf '\033')" "$dir/err"
ok $? "--color=always colours"
NO_COLOR='' FORCE_COLOR='' "$lorash" -e 'x()' >"$dir/out" 2>"$dir/err"
! grep -q "$(printf '\033')" "$dir/err"
ok $? "no colour off a terminal"

# Ctrl-C: pure Lua, coroutines, a loop that catches errors (twice), a pattern callback
interrupted() { # name code presses
    rm -f "$dir/out" # else the last case's text is seen before this one has begun
    "$lorash" -e "io.stdout:write('up\n') io.stdout:flush() $2" >"$dir/out" 2>"$dir/err" &
    pid=$!
    i=0
    until grep -q up "$dir/out" 2>/dev/null || [ $i -gt 200 ]; do
        sleep 0.02
        i=$((i + 1))
    done
    k=0
    while [ $k -lt "$3" ]; do
        kill -INT $pid
        sleep 0.1
        k=$((k + 1))
    done
    i=0
    while kill -0 $pid 2>/dev/null && [ $i -lt 250 ]; do
        sleep 0.02
        i=$((i + 1))
    done
    kill -9 $pid 2>/dev/null
    wait $pid
    found=$?
    [ $found -eq 130 ]
    ok $? "Ctrl-C stops $1: exit code $found"
}
# a background process of a non-interactive shell ignores SIGINT; lorash takes it back
interrupted "a loop" 'while true do end' 1
interrupted "a coroutine" 'coroutine.wrap(function() while true do end end)()' 1
interrupted "coroutine after coroutine" 'while true do coroutine.resume(coroutine.create(function() while true do end end)) end' 1
interrupted "a loop that catches" 'while true do pcall(function() while true do end end) end' 2
interrupted "a callback" 'while true do ("x"):rep(100):gsub(".", function() end) end' 1

echo "1..$n"
exit $bad
