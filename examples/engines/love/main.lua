-- A neural world in LÖVE. Copy inhabit.h and libinhabit.so into this folder, start a sidecar, then:
--   love examples/engines/love tcp://127.0.0.1:5555
local ffi = require("ffi")
local binding = require("inhabit")
local inhabit, client, frame, world, picture, image, speaker
local trouble = ""

local function check(result)
    if result < 0 then trouble = ffi.string(inhabit.inhabit_last_error()) end
    return result
end

function love.load(arguments)
    inhabit = binding.load(arguments[2] or love.filesystem.getSource(), arguments[3])
    local options = binding.struct("inhabit_options")
    options.flags = inhabit.INHABIT_RGBA8
    local handle = ffi.new("inhabit_client[1]")
    check(inhabit.inhabit_open(arguments[1] or "tcp://127.0.0.1:5555", options, handle))
    client, frame = handle[0], binding.struct("inhabit_frame")
end

-- Texture and speaker as the world needs them, once it is known.
local function prepare()
    world = binding.struct("inhabit_world")
    if inhabit.inhabit_describe_world(client, world) < 0 then world = nil return end
    picture = love.image.newImageData(world.width, world.height)
    image = love.graphics.newImage(picture)
    image:setFilter("nearest")
    if world.sound_rate_hz > 0 and love.audio then
        speaker = love.audio.newQueueableSource(world.sound_rate_hz, 16, world.sound_channels)
    end
end

local function listen()
    if not speaker or speaker:getFreeBufferCount() == 0 then return end
    local most = math.floor(world.sound_rate_hz / 10)
    local heard = ffi.new("int16_t[?]", most * world.sound_channels)
    local count = inhabit.inhabit_sound(client, heard, most)
    if count <= 0 then return end
    local sound = love.sound.newSoundData(count, world.sound_rate_hz, 16, world.sound_channels)
    ffi.copy(sound:getFFIPointer(), heard, count * world.sound_channels * 2)
    speaker:queue(sound)
    speaker:play()
end

function love.update()
    if not world then
        check(inhabit.inhabit_poll(client, nil, 0, nil, 0))  -- turns the connection
        prepare()
        return
    end
    local pixels = ffi.cast("uint8_t *", picture:getFFIPointer())
    if check(inhabit.inhabit_poll(client, pixels, picture:getSize(), frame, 0)) == 1 then image:replacePixels(picture) end
    listen()
end

local function button(scancode, down)
    local name = binding.codes[scancode]
    if name then inhabit.inhabit_button(client, name, down) end
end

function love.keypressed(_, scancode) button(scancode, 1) end
function love.keyreleased(_, scancode) button(scancode, 0) end
function love.mousepressed(_, _, index) if index <= 3 then inhabit.inhabit_button(client, ({"Mouse0", "Mouse2", "Mouse1"})[index], 1) end end
function love.mousereleased(_, _, index) if index <= 3 then inhabit.inhabit_button(client, ({"Mouse0", "Mouse2", "Mouse1"})[index], 0) end end
function love.mousemoved(_, _, dx, dy) inhabit.inhabit_mouse(client, dx, dy, 0) end
function love.focus(focused) if not focused then inhabit.inhabit_release(client) end end
function love.quit() inhabit.inhabit_close(client) end

function love.draw()
    if image then
        local scale = math.min(love.graphics.getWidth() / world.width, love.graphics.getHeight() / world.height)
        local x = (love.graphics.getWidth() - scale * world.width) / 2
        love.graphics.draw(image, x, (love.graphics.getHeight() - scale * world.height) / 2, 0, scale)
    end
    love.graphics.print(trouble, 8, 8)
end
