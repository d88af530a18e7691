-- Tensors at the prompt: making, indexing, arithmetic, gradients, printing.
local tap = require "tap"

local a = Tensor{{1, 2, 3}, {4, 5, 6}}
tap.eq(a:shape(), {2, 3})
tap.eq(a:tolist(), {{1.0, 2.0, 3.0}, {4.0, 5.0, 6.0}}, "values come back")
tap.eq(a[2]:tolist(), {4.0, 5.0, 6.0}, "a row")
tap.eq(a[-1]:tolist(), {4.0, 5.0, 6.0}, "a row from the end")
tap.eq(a[{1, 3}]:item(), 3.0, "an element")
tap.eq(a[{{1, 2}, 2}]:tolist(), {2.0, 5.0}, "rows 1 to 2 of column 2")
tap.eq(a[{{}, {2, 3}}]:tolist(), {{2.0, 3.0}, {5.0, 6.0}}, "columns 2 to 3")
tap.raises(function() return a[0] end, "positions count from 1")
tap.raises(function() return a[3] end, "out of range")
tap.raises(function() return a[{1, 2, 3}] end, "3 positions for a tensor of 2 dimensions")
tap.raises(function() return Tensor{{1, 2}, {3}} end, "rows differ")
tap.raises(function() return Tensor{{1, "x"}} end, "numbers are wanted")
tap.raises(function() return Tensor "x" end, "Tensor{{1, 2}, {3, 4}}")
tap.raises(function() return a.shap end, "did you mean 'shape'?")
tap.raises(function() return a.sum() end, "use a colon")

tap.eq((a + 1):tolist(), {{2.0, 3.0, 4.0}, {5.0, 6.0, 7.0}}, "tensor + number")
tap.eq((10 - a):tolist(), {{9.0, 8.0, 7.0}, {6.0, 5.0, 4.0}}, "number - tensor")
tap.eq((a * Tensor{1, 0, 2}):tolist(), {{1.0, 0.0, 6.0}, {4.0, 0.0, 12.0}}, "a row is repeated")
tap.eq((a / a):sum():item(), 6.0, "division, sum of all")
tap.eq((a ^ 2):tolist(), {{1.0, 4.0, 9.0}, {16.0, 25.0, 36.0}}, "powers")
tap.eq((-a):max():item(), -1.0, "minus, max")
tap.eq(a:sum(1):tolist(), {5.0, 7.0, 9.0}, "sum over dimension 1")
tap.eq(a:mean(2):tolist(), {2.0, 5.0}, "mean over dimension 2")
tap.eq(a:gt(2):tolist(), {{0.0, 0.0, 1.0}, {1.0, 1.0, 1.0}}, "comparison by method")
tap.eq(a:matmul(a:t()):tolist(), {{14.0, 32.0}, {32.0, 77.0}}, "matrix product")
tap.eq(a:reshape(3, -1):tolist(), {{1.0, 2.0}, {3.0, 4.0}, {5.0, 6.0}}, "reshape works out -1")
tap.raises(function() return a:matmul(a) end, "shapes 2x3 and 2x3 do not fit")
tap.raises(function() return a + Tensor{1, 2} end, "shapes 2x3 and 2 do not fit")
tap.raises(function() return a + "x" end, "arithmetic of a tensor with the text 'x'")
tap.raises(function() return a:item() end, "one element is wanted")

-- gradients: y = sum(x^2 * 3) -> 6x, on f32 and f64
for _, kind in ipairs{"float", "double"} do
    local x = Tensor{1, -2, 3}
    x = x[kind](x)
    x.requires_grad = true
    tap.eq(x.grad, nil, "no gradient yet")
    local y = (x ^ 2 * 3):sum()
    y:backward()
    tap.eq(x.grad:tolist(), {6.0, -12.0, 18.0}, "gradient in " .. kind)
    ;(x * 2):sum():backward()
    tap.eq(x.grad:tolist(), {8.0, -10.0, 20.0}, "gradients add up")
    x:zero_grad()
    tap.eq(x.grad, nil, "zero_grad forgets")
    tap.raises(function() y:backward() end, "walked already")
    tap.raises(function() (x * 2):backward() end, "a loss of one element is wanted")
end
tap.eq(Tensor{0.1}:double().dtype, "f64")
tap.eq(math.abs(Tensor{0.5}:double():exp():item() - math.exp(0.5)) < 1e-15, true, "f64 computes in double")
tap.raises(function() return Tensor{1} + Tensor{1}:double() end, "do not mix")
tap.raises(function() Tensor{1}:backward() end, "requires_grad = true")

-- slices take part in gradients
local w = Tensor{{1, 2}, {3, 4}}
w.requires_grad = true
w[2]:sum():backward()
tap.eq(w.grad:tolist(), {{0.0, 0.0}, {1.0, 1.0}}, "gradient of a row")

-- printing
local text = tostring(Tensor{{1, 2}, {3, 4}})
tap.ok(text:find("f32[2,2]", 1, true) and text:find("mean 2.5", 1, true), "prints dtype, shape, mean", text)
tap.ok(tostring(Tensor{0 / 0, 1}):find("1 NaN", 1, true), "NaNs are counted")
tap.ok(#tostring(Tensor.zeros(300, 300)) < 2000, "a large tensor prints its corners")
tap.ok(tostring(Tensor(3)):find("f32[]", 1, true), "a scalar prints")

-- memory: thousands of lines leave nothing behind
for _ = 1, 2000 do local t = Tensor{1, 2, 3} * 2 + 1 end
collectgarbage()
tap.ok(true, "many short-lived tensors")
tap.done()
