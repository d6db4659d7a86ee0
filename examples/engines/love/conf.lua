function love.conf(t)
    t.window.title = "A world in LÖVE"
    t.window.width, t.window.height = 640, 480
    t.window.resizable = true
end
