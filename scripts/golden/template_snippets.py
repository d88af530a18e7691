#!/usr/bin/env python3
"""Writes tests/golden/template_snippets.json: small templates with what the reference makes of them.

Usage: template_snippets.py > tests/golden/template_snippets.json
Each snippet is rendered in transformers' own environment over VARIABLES. An entry is
{"t": template, "o": output}, {"t": template, "r": message of raise_exception} or
{"t": template, "e": true} for any other failure, be it in parsing or in rendering.
"""
import json
import sys

import jinja2
from transformers.utils import chat_template_utils as utils

VARIABLES = {
    "a": 1, "b": 2.5, "s": "Hello, World", "e": "", "n": None, "t": True, "f": False,
    "u": "Grüße ß İ 日本😀", "l": [3, 1, 2], "w": ["pear", "Apple", "fig"], "d": {"x": 1, "y": [1, 2], "items": 5},
    "m": [{"role": "user", "content": "q1"}, {"role": "assistant", "content": "a1", "k": 1},
          {"role": "user", "content": "q2", "k": None}],
    "html": "<b a=\"1\">&'</b>", "deep": {"p": {"q": [{"r": "s"}]}}, "lines": "one\ntwo\r\nthree\n\nfour",
    "neg": -7, "big": 9007199254740993, "tab": "a\tb  c\u00a0d \u2003e",
}

SNIPPETS = r"""
{{ a }}|{{ b }}|{{ s }}|{{ n }}|{{ t }}|{{ f }}|{{ undefined_name }}|{{ l }}|{{ d }}
{{ u }} {{ [u, s, 'it\'s', "q\"", 'both\'"', '\n\t\\\x00\x7f\u200b'] }}
{{ (1,) }} {{ () }} {{ (1, 'a', none) }} {{ [] }} {{ {} }} {{ {'a': (1, 2), 1: true, none: 2.0} }}
{{ 1.0 }} {{ 1e20 }} {{ 1e-7 }} {{ 0.1 + 0.2 }} {{ 100000000000000000.0 }} {{ -0.0 }} {{ 1e16 }} {{ 123456789012345.6 }}
{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ 7 / 2 }} {{ 4 / 2 }}
{{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2 ** 0.5 }} {{ 2 ** 3 ** 2 }} {{ (-2) ** 3 }} {{ 0 ** 0 }}
{{ 1 + 2 * 3 - 4 }} {{ (1 + 2) * 3 }} {{ -a + +a }} {{ - - a }} {{ 1 - -1 }}
{{ true + true }} {{ true * 3 }} {{ 1 == true }} {{ 1 == 1.0 }} {{ '1' == 1 }} {{ none == false }}
{{ 'a' + 'b' ~ 1 ~ none ~ 2.0 }} {{ 'ab' * 3 }} {{ 3 * 'ab' }} {{ [1] * 3 }} {{ [1] + [2] }} {{ (1,) + (2,) }} {{ 'x' * -1 }}
{{ 1 < 2 < 3 }} {{ 1 < 2 > 3 }} {{ 3 > 2 >= 2 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ 1 != 2 }} {{ 1 <= 1.0 }}
{{ 1 in l }} {{ 5 not in l }} {{ 'ell' in s }} {{ '' in s }} {{ 'x' in d }} {{ 'z' in d }} {{ 1 in d }} {{ 'a' in undefined_name }}
{{ not a }} {{ not not a }} {{ a and b }} {{ f and b }} {{ f or e or 'last' }} {{ n or f }} {{ a or undefined_name.x }}
{{ 'yes' if a else 'no' }} {{ 'yes' if f }} {{ 'x' if f else 'y' if f else 'z' }} {{ (1 if t) + 1 }}
{{ s[0] }} {{ s[-1] }} {{ s[1:4] }} {{ s[::-1] }} {{ s[:-1] }} {{ s[-3:] }} {{ s[1:100:3] }} {{ s[100:] }} {{ u[4] }} {{ u[-1] }} {{ u[::-2] }}
{{ l[0] }} {{ l[-1] }} {{ l[1:] }} {{ l[::-1] }} {{ l[5] }} {{ l[:2] }} {{ l[2:0:-1] }} {{ (1,2,3)[1:] }} {{ l['x'] }} {{ l[true] }}
{{ d.x }} {{ d['x'] }} {{ d.y[0] }} {{ d.nope }} {{ d['nope'] }} {{ d['items'] }} {{ deep.p.q[0].r }} {{ deep['p']['q'].0.r }}
{{ d.items is callable }} {{ d.items() }} {{ d.keys() }} {{ d.values() }} {{ d.items()|list }} {{ d.get('x') }} {{ d.get('z', 9) }} {{ d.get('z') }}
{{ n.x }}|{{ a.x }}|{{ s.x }}|{{ l.x }}
{{ n.x.y }}
{{ undefined_name.x }}
{{ undefined_name['x'] }}
{{ undefined_name() }}
{{ undefined_name + 1 }}
{{ undefined_name < 1 }}
{{ -undefined_name }}
{{ undefined_name == undefined_other }} {{ undefined_name == none }} {{ undefined_name != 1 }} {{ undefined_name is defined }}
{{ undefined_name | length }} {{ undefined_name | list }} {{ undefined_name | join(',') }}{{ undefined_name | default('d') }}{{ undefined_name | upper }}
{% for x in undefined_name %}x{% else %}none{% endfor %}
{% for x in n %}x{% endfor %}
{% for x in a %}x{% endfor %}
{% for x in s[:3] %}{{ x }},{% endfor %}{% for k in d %}{{ k }};{% endfor %}{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}
{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }} {% endfor %}
{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}{% for x in l %}{{ loop.previtem is defined }}{{ loop.nextitem is undefined }}{% endfor %}
{% for x in l if x > 1 %}{{ x }}:{{ loop.index }}/{{ loop.length }}{{ loop.last }} {% endfor %}
{% for x in l if x > 9 %}x{% else %}empty{% endfor %}
{% for x in range(10) %}{% if x == 2 %}{% continue %}{% endif %}{% if x == 5 %}{% break %}{% endif %}{{ x }}{% endfor %}
{% for x in range(3) %}{% for y in range(3) %}{% if y == 1 %}{% break %}{% endif %}{{ x }}{{ y }} {% endfor %}{% endfor %}
{% for x, y in [(1, 2), [3, 4]] %}{{ x + y }} {% endfor %}{% for (x, (y, z)) in [(1, (2, 3))] %}{{ x }}{{ y }}{{ z }}{% endfor %}
{% for x, y in [(1, 2, 3)] %}{% endfor %}
{% for x in l %}{{ loop.cycle('odd', 'even') }}{{ loop.changed(x > 1) }} {% endfor %}
{% for x in [[1, [2]], [3]] recursive %}{% if x is number %}{{ x }}@{{ loop.depth }} {% else %}{{ loop(x) }}{% endif %}{% endfor %}
{% for x in l %}{% set y = x %}{% endfor %}{{ y }}{% set y = 1 %}{% for x in l %}{% set y = y + x %}{{ y }}{% endfor %}{{ y }}
{% set ns = namespace(v=0, w='a') %}{% for x in l %}{% set ns.v = ns.v + x %}{% endfor %}{{ ns.v }}{{ ns.w }}{{ ns['v'] }}{{ ns.z }}{{ ns }}
{% set ns = namespace({'q': 1}, r=2) %}{{ ns.q }}{{ ns.r }}{% set ns.q = [1] %}{{ ns.q }}
{% set ns = namespace() %}{% set ns._x = 1 %}
{% set x.y = 1 %}
{% set d.x = 5 %}
{% set x, y = 1, 2 %}{{ x }}{{ y }}{% set x = 1, 2 %}{{ x }}{% set (x, y) = [3, 4] %}{{ x }}
{% set x %}in {{ a }} block{% endset %}{{ x }}|{{ x | length }}{% set x | upper %}abc{% endset %}{{ x }}
{% if a %}1{% elif b %}2{% else %}3{% endif %}{% if f %}1{% elif b %}2{% else %}3{% endif %}{% if f %}1{% elif n %}2{% else %}3{% endif %}{% if f %}x{% endif %}
{% if t %}{% set q = 5 %}{% endif %}{{ q }}{% if f %}{% set a = 7 %}{% endif %}{{ a }}
{% macro g(x, y=2, z='z') %}[{{ x }},{{ y }},{{ z }}]{% endmacro %}{{ g(1) }}{{ g(1, 3) }}{{ g(1, z=5) }}{{ g(x=9) }}{{ g() }}{{ g }}
{% macro g(x) %}{{ x }}{% endmacro %}{{ g(1, 2) }}
{% macro g(x) %}{{ x }}{% endmacro %}{{ g(y=2) }}
{% macro g(x) %}{{ x }}{% endmacro %}{{ g(1, x=2) }}
{% macro g(x) %}{{ x }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ g(1, 2, 3, k=4) }}
{% macro g(x, y=x) %}{{ x }}{{ y }}{% endmacro %}{{ g(1) }}{% macro h(n) %}{% if n > 0 %}{{ n }}{{ h(n - 1) }}{% endif %}{% endmacro %}{{ h(5) }}
{% set v = 1 %}{% macro g() %}{{ v }}{% set v = 5 %}{{ v }}{% endmacro %}{{ g() }}{% set v = 2 %}{{ g() }}{{ v }}
{% for x in l %}{% macro g() %}{{ x }}{% endmacro %}{{ g() }}{% endfor %}{% set r = namespace(v='') %}{% macro k() %}{% set r.v = 'set' %}{% endmacro %}{{ k() }}{{ r.v }}
{% macro w(x) %}<{{ caller(x) }}>{% endmacro %}{% call(y) w(3) %}{{ y }}!{% endcall %}{% macro v() %}({{ caller() }}){% endmacro %}{% call v() %}in{% endcall %}
{% with q = 1, r = a + 1 %}{{ q }}{{ r }}{% endwith %}{{ q }}
{% filter upper %}abc {{ s }}{% endfilter %}{% filter replace('a', 'b') | trim %}  aa {% endfilter %}
{% raw %}{{ x }} {% y %}{% endraw %}{# comment {{ x }} #}done{#- c -#}  x
a  {%- if t %}  b  {%- endif -%}  c {{- 'd' -}}  e
  {% if t %}
  x
    {%+ if t %}y{% endif %}
  {% endif %}
{% if t -%}   x   {%- endif +%}
z
{{ 'a' 'b' "c" }} {{ 'a\nb\t\x41\u00e9\U0001F600\'\"\\\q\101' }}
{{ {'a': 1}.a }} {{ [1, 2][1] }} {{ 'abc'[1] }} {{ 'abc'.upper() }} {{ (1, 2)[0] }} {{ 'a' if 'b' in 'abc' else 'c' }}
{{ s.upper() }} {{ s.lower() }} {{ u.upper() }} {{ u.lower() }} {{ 'ß'.upper() }} {{ 'ΑΣ ΑΣΑ'.lower() }} {{ 'ǆ'.capitalize() }} {{ 'hello wORLD'.capitalize() }} {{ "they're bill's".title() }} {{ 'aB'.swapcase() }}
{{ '  x '.strip() }}|{{ '  x '.lstrip() }}|{{ '  x '.rstrip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'abcba'.strip('ab') }}|{{ 'ééaé'.strip('é') }}|{{ tab.strip() }}|{{ '\u2003a\x1f'.strip() }}
{{ s.split() }} {{ s.split(', ') }} {{ 'a,b,c'.split(',', 1) }} {{ ' a  b '.split() }} {{ ' a  b c'.split(none, 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ ' a b  c '.rsplit(none, 1) }} {{ ''.split() }} {{ ''.split(',') }} {{ ' a  b c '.split(none, 1) }} {{ '  a b  '.rsplit(none, 5) }} {{ tab.split() }}
{{ 'a</think>b</think>c'.split('</think>')[-1] }} {{ lines.splitlines() }} {{ lines.splitlines(true) }} {{ 'a-b-c'.partition('-') }} {{ 'a-b-c'.rpartition('-') }} {{ 'abc'.partition('x') }}
{{ s.startswith('He') }} {{ s.startswith(('x', 'H')) }} {{ s.endswith('ld') }} {{ s.startswith('l', 2) }} {{ s.endswith('o', 0, 5) }} {{ s.find('o') }} {{ s.rfind('o') }} {{ s.find('zz') }} {{ u.find('日') }} {{ s.index('W') }} {{ s.count('l') }} {{ s.count('') }}
{{ s.replace('l', 'L') }} {{ s.replace('l', 'L', 1) }} {{ 'abc'.replace('', '-') }} {{ s | replace('o', '0') }} {{ s | replace('o', '0', 1) }} {{ 12 | replace(1, 3) }} {{ 'é'.replace('', '.') }}
{{ ', '.join(w) }} {{ 'x'.join('abc') }} {{ w | join }} {{ w | join(', ') }} {{ l | join('-') }} {{ m | join('+', attribute='content') }} {{ d | join }}
{{ ','.join(l) }}
{{ '7'.zfill(3) }} {{ '-7'.zfill(4) }} {{ 'a'.center(5) }}| {{ 'ab'.center(5, '*') }} {{ 'a'.ljust(3) }}| {{ 'a'.rjust(3) }} {{ 'prefix-x'.removeprefix('prefix-') }} {{ 'x.y'.removesuffix('.y') }}
{{ '12'.isdigit() }} {{ 'a1'.isalpha() }} {{ 'a1'.isalnum() }} {{ ' '.isspace() }} {{ ''.isdigit() }} {{ 'AB'.isupper() }} {{ 'ab1'.islower() }}
{{ l.append(4) }}
{{ d.update({'q': 1}) }}
{{ s.nope() }}
{{ l.index(2) }} {{ l.count(1) }}
{{ l.index(9) }}
{{ s | length }} {{ u | length }} {{ l | length }} {{ d | count }} {{ '' | length }} {{ range(5) | length }} {{ d.items() | length }}
{{ 5 | length }}
{{ n | length }}
{{ (m | selectattr('role', 'equalto', 'user')) | length }}
{{ '  x ' | trim }}| {{ 'xxax' | trim('x') }} {{ n | trim }} {{ 5 | string }} {{ n | string }} {{ l | string | length }}
{{ s | upper }} {{ s | lower }} {{ s | capitalize }} {{ 'foo bar-baz (qux) [x] it\'s' | title }} {{ 'ÀÉ x' | title }} {{ 5 | upper }}
{{ undefined_name | default('x') }} {{ e | default('x') }}| {{ e | default('x', true) }} {{ n | d('y', boolean=true) }} {{ n | default('z') }} {{ f | default(1, true) }} {{ undefined_name | default }}|
{{ l | first }} {{ l | last }} {{ s | first }} {{ d | first }} {{ [] | first }}| {{ l | reverse | list }} {{ s | reverse }} {{ l | sort }} {{ w | sort }} {{ w | sort(reverse=true) }} {{ w | sort(case_sensitive=true) }} {{ l | max }} {{ l | min }} {{ l | sum }} {{ w | max }}
{{ (m | map(attribute='role')) | last }}
{{ m | map(attribute='content') | list }} {{ w | map('upper') | join(',') }} {{ m | map(attribute='zz', default='?') | list }} {{ w | map('replace', 'p', 'P') | list }} {{ m | map(attribute='role') | unique | list }} {{ 'abc' | map('upper') | list }}
{{ m | selectattr('role', 'equalto', 'user') | map(attribute='content') | list }} {{ m | rejectattr('role', 'eq', 'user') | list | length }} {{ m | selectattr('k') | list | length }} {{ m | selectattr('k', 'defined') | list | length }} {{ m | selectattr('k', 'none') | list | length }} {{ l | select('gt', 1) | list }} {{ l | reject('odd') | list }} {{ [0, 1, '', 'a'] | select | list }} {{ l | select('in', [1, 2]) | list }}
{{ 'yes' if m | selectattr('role', 'equalto', 'nobody') else 'no' }} {% set g = m | map(attribute='role') %}{{ g | list }}{{ g | list }}
{{ m | map('nope') | list }}
{{ d | items | list }} {{ d | dictsort }} {{ {'B': 1, 'a': 2} | dictsort }} {{ {'B': 1, 'a': 2} | dictsort(true) }} {{ {'B': 2, 'a': 1} | dictsort(by='value') }} {{ {'B': 2, 'a': 1} | dictsort(false, 'key', true) }}
{{ l | items | list }}
{{ m | groupby('role') | map('first') | list }} {{ range(7) | batch(3) | list }} {{ range(4) | batch(3, 'x') | list }} {{ range(7) | slice(3) | list }} {{ m | sort(attribute='content', reverse=true) | map(attribute='content') | list }} {{ [3, 3.0, 'a', 'A'] | unique | list }}
{{ '42' | int }} {{ '42.7' | int }} {{ 'x' | int }} {{ 'x' | int(5) }} {{ 3.9 | int }} {{ -3.9 | int }} {{ '0x1f' | int(0, 16) }} {{ ' 7 ' | int }} {{ '1_000' | int }} {{ n | int }} {{ t | int }} {{ '3.5' | float }} {{ 'x' | float }} {{ 2 | float }} {{ '1e3' | float }} {{ 'inf' | float }} {{ [] | int(8) }}
{{ undefined_name | int }}
{{ -5 | abs }} {{ (-5) | abs }} {{ -2.5 | abs }} {{ 42.55 | round }} {{ 42.55 | round(1) }} {{ 42.55 | round(1, 'floor') }} {{ 42.1 | round(0, 'ceil') }} {{ 2.5 | round }} {{ 42 | round }} {{ 2.675 | round(2) }}
{{ html }} {{ html | safe }} {{ html | e }} {{ html | escape | escape }} {{ 'a' + html | safe }} {{ '<' + (html | safe) + '>' }} {{ (html | safe) ~ '<' }} {{ [html | safe] }} {{ (html|safe) * 2 }} {{ (html|safe).upper() + '<' }} {{ (html|safe|string) + '<' }} {{ (html | safe | replace('b', 'c')) + '<' }} {{ (html|safe)[0:3] + '<' }}
{{ lines | indent }}| {{ lines | indent(2, true) }}| {{ lines | indent(width='> ', blank=true) }}| {{ 'foo bar baz qux' | truncate(9) }} {{ 'foo bar baz qux' | truncate(9, true) }} {{ 'foo bar baz qux' | truncate(11) }} {{ 'foo bar baz qux' | truncate(11, false, '..', 0) }} {{ 'a b  c-d' | wordcount }} {{ 'x' | center(5) }}|
{{ 'a%sb%d' | format('x', 5) }} {{ '%s and %r' % (s, s) }} {{ '%05.2f|%-5s|%5s|%x|%%' % (3.14159, 'a', 'b', 255) }} {{ '%s' % a }} {{ '%(k)s' % {'k': 'v'} }} {{ '%d' % 3.9 }}
{{ '%s %s' % (1,) }}
{{ d | attr('x') }}| {{ s | attr('upper') is callable }}
{{ l | tojson }} {{ d | tojson }} {{ s | tojson }} {{ u | tojson }} {{ u | tojson(ensure_ascii=true) }} {{ html | tojson }} {{ b | tojson }} {{ n | tojson }} {{ t | tojson }} {{ 1e20 | tojson }} {{ (1, 2) | tojson }} {{ {1: 2, none: 3, true: 4, 1.5: 5} | tojson }} {{ '\x00\x1f\x7f\u2028' | tojson }} {{ big | tojson }}
{{ deep | tojson(indent=2) }}
{{ {'b': [], 'a': {}, 'c': [1, {'z': 1, 'y': 2}]} | tojson(indent=4, sort_keys=true) }}
{{ deep | tojson(separators=(',', ':')) }} {{ deep | tojson(separators=[' , ', ' : '], indent=1) }} {{ deep | tojson(indent='--') }} {{ [1] | tojson(indent=0) }} {{ [] | tojson(indent=2) }}
{{ undefined_name | tojson }}
{{ range(3) | tojson }}
{{ d.items() | tojson }}
{{ a is number }} {{ a is integer }} {{ b is float }} {{ t is integer }} {{ t is boolean }} {{ s is string }} {{ l is sequence }} {{ l is iterable }} {{ d is mapping }} {{ d is sequence }} {{ s is iterable }} {{ a is iterable }} {{ n is none }} {{ t is true }} {{ f is false }} {{ a is true }} {{ n is not none }} {{ undefined_name is iterable }} {{ undefined_name is sequence }} {{ undefined_name is mapping }} {{ d.items() is sequence }} {{ range(2) is sequence }} {{ (l | reverse) is iterable }}
{{ 3 is odd }} {{ 4 is even }} {{ 9 is divisibleby(3) }} {{ 9 is divisibleby 2 }} {{ 1 is eq 1 }} {{ 1 is ne(2) }} {{ 1 is lt 2 }} {{ 3 is ge 3 }} {{ 'a' is in 'abc' }} {{ 1 is in [1] }} {{ s is upper }} {{ 'ABC' is upper }} {{ 'abc' is lower }} {{ 'upper' is filter }} {{ 'nope' is filter }} {{ 'odd' is test }} {{ n is sameas none }} {{ 1 is sameas true }} {{ a is equalto 1 }}
{{ a is nope }}
{{ a | nope }}
{% if f %}{{ a | nope }}{% endif %}ok
{{ a is defined and b is defined }} {{ a is not defined or t }} {{ not a is defined }} {{ a == 1 is defined }}
{{ range(5) | list }} {{ range(1, 10, 3) | list }} {{ range(5, 0, -2) | list }} {{ range(3) }} {{ range(1, 4) }} {{ range(0, 10, 4) }} {{ range(3)[1] }} {{ range(0) | list }}
{{ range(1000000000) }}
{{ range(1, 2, 0) }}
{{ dict(a=1, b='x') }} {{ dict({'q': 1}, r=2) }} {{ dict([('a', 1)]) }}
{{ raise_exception('stop ' ~ a) }}
{{ raise_exception("Ünïcode 'quotes'") }}
{% if a == 1 %}{{ raise_exception('no') }}{% endif %}
{{ 1 / 0 }}
{{ 1 + 'a' }}
{{ 'a' + 1 }}
{{ [1] < 'a' }}
{{ n < 1 }}
{{ 1 in 'abc' }}
{{ 1 in 5 }}
{{ n[1:] }}
{{ l[::0] }}
{{ l['a':] }}
{{ {[1]: 2} }}
{{ d[[1]] }}
{{ s.split('') }}
{{ a.b.c }}
{{ 5() }}
{{ l(1) }}
{{ (a }}
{{ a b }}
{{ [1, 2 }}
{% if %}x{% endif %}
{% for x l %}{% endfor %}
{% for x in l %}
{% endfor %}
{% nope %}
{% set 1 = 2 %}
{% set true = 2 %}
{{ 'abc }}
{{ a | }}
{{ a is }}
{% break %}
{% macro f(x=1, y) %}{% endmacro %}
{{ f(a=1, 2) }}
{{ a is odd is even }}
{{ }}
{{ a. }}
{{ 'a' 1 }}
{{ a @ b }}
{{ not }}
{{ [1,2,] }} {{ {'a':1,} }} {{ range(3,)|list }} {{ 0x1F }} {{ 0b11 }} {{ 0o17 }} {{ 1_000 }} {{ 1_0.5 }} {{ 1.5e3 }}
{{ (l|list)[0] }} {{ (s|upper)[0:2] }} {{ s|upper|lower|first }} {{ (a if t else b) + 1 }}
{{ [x for x in l] }}
{{ {'a': 1}['a'] + {'b': 2}.b }} {{ l[l[1]] }} {{ m[-1].role }} {{ m[0]['content'][0] }} {{ m[1:][0].role }} {{ (m|last).role }} {{ d.y|last + 1 }}
{% set x = l + [9] %}{{ x }}{{ l }}{% set q = d.x if d.x is defined else 'n' %}{{ q }}{% set z = a and not f %}{{ z }}
{{ loop }}{{ loop is defined }}
{% set messages = m %}{% for message in messages %}{% if loop.first and message.role == 'user' %}F{% endif %}{{ '<' + message['role'] + '>' + message['content'] + '\n' }}{% if not loop.last %}-{% endif %}{% endfor %}
{% generation %}x{% set y = 1 %}{% endgeneration %}{{ y }}
{{ namespace(a=1).a }} {{ namespace() is mapping }} {{ namespace() is defined }} {{ raise_exception is callable }} {{ strftime_now is defined }} {{ self_name }}
{{ *l }}
{% macro f(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ f(*[1, 2]) }}{{ f(**{'a': 3, 'b': 4}) }}{{ f(1, *[2]) }}
{% set x = 5 %}{% set f2 %}{% set x = 6 %}{{ x }}{% endset %}{{ x }}{{ f2 }}
{% for x in [1] %}{% set inner = 3 %}{% if t %}{% set inner = 4 %}{% endif %}{{ inner }}{% endfor %}{{ inner is defined }}
{{ -l[0] }} {{ not s.startswith('x') }} {{ -1 | string | length }} {{ 2 - 1 ~ 'x' }} {{ 1 ~ 2 + 3 }} {{ 'a' ~ 1 == 'a1' }}
{{ u[:5] ~ '|' ~ u[5:] }} {{ u.split('ß') }} {{ 'ﬁ'.upper() }} {{ 'ŉ'.capitalize() }} {{ u | list }}
{{ [1.0, 2.5, 1e100, -1e-10, 3e15] }} {{ 1e15 }} {{ 123456789.125 }} {{ 5e-324 }} {{ 1.7976931348623157e308 }}
{{ ['\u0378', '\ue000', '\u00ad', '\u0300', 'a\u0301', '\u3000', '\x85', '😀', '\U000e0001', '\u0600', '\u180e'] }}
""".strip("\n").split("\n")

# several lines each
BLOCKS = [
    "{% for x in l %}\n  {{ x }}\n{% endfor %}\nend\n",
    "  {%- set x = 1 %}\n\n  {{ x }}\n{#- c #}\n\n z\n\n",
    "a\n   {# c #}\nb\n   {# c #}   \nc {# d #}\ne",
    "{% raw %}\n  {{ a }}\n{% endraw %}\nx",
    "{%- raw -%}\n  {{ a }}\n  {%- endraw -%}\n  x",
    "\n\n{{ a }}\r\n{{ b }}\r{{ s }}\n",
    "{{ {'a': {'b': 1}} }}{{ {'x': {}} }}",
    "x\n    {% if t %}y{% endif %}\n    z",
    "x {% if t %}\n y {% endif %}\n z",
    "{{ a }}\n\n\n",
    "{{- a -}}\n x \n{{- b }}",
    "\t {%+ if t %}a{%+ endif +%}\n b",
    "{% set x -%}\n   spaced\n{%- endset %}[{{ x }}]",
    "{% if t %}\n{% for i in range(2) %}\n\t{{ i }}\n\t{% endfor %}\n{% endif %}\n",
    "{%- macro f(x) -%}\n  <{{ x }}>\n{%- endmacro -%}\n{{ f(1) }}{{ f(2) }}",
    "{{ '''a''' }}",
    "{% for m2 in m %}{{ m2.role }}{% generation %}{{ m2.content }}{% endgeneration %}\n{% endfor %}",
    "",
    "\n",
    "plain",
    "{{ 'line\nbreak' }}",
    "{# x",
    "{{",
    "{% raw %}x",
    "{% if t %}",
    "{}{ }} %} #}",
]


def entry(template):
    try:
        return {"t": template, "o": utils._compile_jinja_template(template).render(**VARIABLES)}
    except jinja2.exceptions.TemplateError as e:
        if type(e) is jinja2.TemplateError:
            return {"t": template, "r": str(e.message)}
    except Exception:
        pass
    return {"t": template, "e": True}


def main():
    if sys.argv[1:]:
        sys.exit(__doc__)
    entries = [entry(t) for t in SNIPPETS + BLOCKS]
    print('{"variables": %s,' % json.dumps(VARIABLES))
    print(' "snippets": [')
    print(",\n".join("  " + json.dumps(e, ensure_ascii=True) for e in entries))
    print("]}")


if __name__ == "__main__":
    main()
