#!/bin/sh
# The prompt without a terminal: cells in a pipe, results out.
cd "$(dirname "$0")/../.." || exit 1
lorash=${LORASH:-build/lorash}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
export NO_COLOR=1 LORASH_HISTORY="$dir/history"
n=0 bad=0

cells() { # name, cells, wanted output (both streams)
    printf '%s\n' "$2" | "$lorash" -q -i >"$dir/out" 2>&1
    code=$?
    n=$((n + 1))
    if [ "$(cat "$dir/out")" = "$3" ] && [ $code -eq "${4:-0}" ]; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1 (exit code $code)"
        printf '%s\n' "$3" | sed 's/^/# wanted: /'
        sed 's/^/# found:  /' "$dir/out"
        bad=1
    fi
}

cells "values" '1 + 1
"text"
nil
1, nil, 2
x = 5
x' '2
"text"
nil
1
nil
2
5'
cells "a cell over lines" 'function f(a)
  return a * 2
end
f(21)' '42'
cells "a last expression after statements, hidden by a semicolon" 'x = 1; x
x = 2; x;
y = {1,
2}
#y' '1
2'
cells "earlier results" '7
_ + 1
Out[1]' '7
8
7'
cells "an error leaves the state" 'x = 3
x = x + True
x' "error: undefined global 'True'; in Lua write true
  [2]:1  x = x + True
                 ~~~~
3"
cells "the line within the cell" 'function g()
  local t = {}
  return t.a.b
end
x = g()' "error: attempt to index a nil value (field 'a')
  [1]:3  return t.a.b
                  ~
  called from [2]:1"
cells "a syntax error is reported at once" 'x = = 1
1' "error: unexpected symbol near '='
  [1]:1  x = = 1
             ~
1"
cells "an unfinished end" 'x = {' "error: the input ends before it is complete"
cells "pasted prompts" '[1]> x = 4
[2]> x * 2' '8'
cells "commands" ':time 1 + 1;
?fmt
fmt?
:nothing
%timeit x
=5' "$(printf '%s' "$("$lorash" -e 'help("fmt") help("fmt")')")
error: there is no command ':nothing'; hint: :help lists them
error: Jupyter's magic is not here; hint: :time, :history, :help, !command
5"
cells "the system's shell" '!echo hello
!exit 3' 'hello'
cells "leaving" '1
:quit
2' '1'
cells "leaving as elsewhere" 'exit()
2' ''
cells "os.exit" 'os.exit(3)
2' '' 3
cells "a label is Lua" '::here:: x = 1
x' '1'
cells "an object that cannot be printed" 'setmetatable({}, {__tostring = function() error("no", 0) end})
1' 'error: no
  [1]:1  setmetatable({}, {__tostring = function() error("no", 0) end})
1'
printf 'function f() return 1 + f() end\nf()\n1\n' | "$lorash" -q -i >"$dir/out" 2>&1
n=$((n + 1))
if grep -q 'stack overflow' "$dir/out" && tail -1 "$dir/out" | grep -qx 1; then
    echo "ok $n - the prompt survives a stack overflow"
else
    echo "not ok $n - the prompt survives a stack overflow"
    bad=1
fi

# The n-th allocation fails while a cell is read, compiled, run and printed: an error, and the next
# cell works; nothing is lost at the end.
i=1 survived=0 lines=0
while [ $i -le 400 ]; do
    printf 'lorash.probe.fail_at(%d);\nlocal t = {1, {a = "b"}, f = function(x) return x .. x end}; t\nlorash.probe.fail_at(0);\n"alive"\n' $i |
        LORASH_CHECK_LEAKS=1 "$lorash" -q -i >"$dir/out" 2>&1
    code=$?
    lines=$((lines + 1))
    if [ $code -eq 0 ] && tail -1 "$dir/out" | grep -qx '"alive"'; then
        survived=$((survived + 1))
    else
        sed "s/^/# allocation $i, code $code: /" "$dir/out"
    fi
    i=$((i + ${STEP:-7}))
done
n=$((n + 1))
if [ $survived -eq $lines ]; then
    echo "ok $n - $lines failing allocations are survived without a leak"
else
    echo "not ok $n - $survived of $lines failing allocations are survived"
    bad=1
fi

# start-up without memory: a message and an exit code, no crash
i=1 clean=0 lines=0
while [ $i -le 900 ]; do
    lines=$((lines + 1))
    LORASH_CHECK_LEAKS=1 LORASH_FAIL_AT=$i "$lorash" -e 'x = 1' >"$dir/out" 2>&1
    code=$?
    if [ $code -eq 0 ] || [ $code -eq 4 ]; then
        clean=$((clean + 1))
    else
        sed "s/^/# $i, code $code: /" "$dir/out"
    fi
    i=$((i + 1 + i / 12))
done
n=$((n + 1))
if [ $clean -eq $lines ]; then
    echo "ok $n - start-up without memory, $lines times"
else
    echo "not ok $n - start-up without memory: $clean of $lines"
    bad=1
fi

echo "1..$n"
exit $bad
