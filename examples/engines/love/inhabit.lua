-- Inhabit for LÖVE and any other LuaJIT: the functions of inhabit.h, read from the header itself.
--   local inhabit = require("inhabit").load(FOLDER)     FOLDER holds inhabit.h and libinhabit.so
local ffi = require("ffi")

local names = {Windows = "inhabit.dll", OSX = "libinhabit.dylib"}

local function load(folder, library)
    local file = io.open(folder .. "/inhabit.h")
    if not file then error("Expected inhabit.h and libinhabit.so in " .. folder .. ": copy them there (docs/embed.md)", 0) end
    local declarations = file:read("*a"):match('extern "C" {\n#endif\n(.-)#ifdef __cplusplus\n}')
    file:close()
    ffi.cdef((declarations:gsub("INHABIT_API ", "")))
    return ffi.load(library or folder .. "/" .. (names[ffi.os] or "libinhabit.so"))
end

-- A struct of inhabit.h, its struct_size set.
local function struct(name)
    local made = ffi.new(name)
    made.struct_size = ffi.sizeof(made)
    return made
end

-- LÖVE's scancodes (physical keys) by their W3C names; nil for a key that the wire does not know.
local codes = {
    left = "ArrowLeft", right = "ArrowRight", up = "ArrowUp", down = "ArrowDown", space = "Space", ["return"] = "Enter",
    escape = "Escape", tab = "Tab", backspace = "Backspace", lshift = "ShiftLeft", rshift = "ShiftRight",
    lctrl = "ControlLeft", rctrl = "ControlRight", lalt = "AltLeft", ralt = "AltRight", ["-"] = "Minus", ["="] = "Equal",
    ["["] = "BracketLeft", ["]"] = "BracketRight", ["\\"] = "Backslash", [";"] = "Semicolon", ["'"] = "Quote",
    ["`"] = "Backquote", [","] = "Comma", ["."] = "Period", ["/"] = "Slash",
}
for letter in ("abcdefghijklmnopqrstuvwxyz"):gmatch(".") do codes[letter] = "Key" .. letter:upper() end
for digit in ("0123456789"):gmatch(".") do codes[digit] = "Digit" .. digit end
for number = 1, 12 do codes["f" .. number] = "F" .. number end

return {load = load, struct = struct, codes = codes}
