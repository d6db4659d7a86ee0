# A neural world on a TextureRect. Start a sidecar, then: godot3 --path examples/engines/godot3
# The address is the environment variable INHABIT_ENDPOINT, or tcp://127.0.0.1:5555.
extends TextureRect

const NAMED = {
	KEY_LEFT: "ArrowLeft", KEY_RIGHT: "ArrowRight", KEY_UP: "ArrowUp", KEY_DOWN: "ArrowDown", KEY_SPACE: "Space",
	KEY_ENTER: "Enter", KEY_ESCAPE: "Escape", KEY_TAB: "Tab", KEY_SHIFT: "ShiftLeft", KEY_CONTROL: "ControlLeft",
}
const BUTTONS = {BUTTON_LEFT: "Mouse0", BUTTON_MIDDLE: "Mouse1", BUTTON_RIGHT: "Mouse2"}

var client = preload("res://inhabit_client.gdns").new()
var image = Image.new()
var world = {}


func _ready():
	var endpoint = OS.get_environment("INHABIT_ENDPOINT")
	if client.open(endpoint if endpoint else "tcp://127.0.0.1:5555") < 0:
		$Trouble.text = client.last_error()


func _process(_delta):
	var pixels = client.poll()
	if pixels is int:
		$Trouble.text = client.last_error()
	elif pixels != null:
		if world.empty():
			begin()
		image.create_from_data(world.width, world.height, false, Image.FORMAT_RGB8, pixels)
		texture.set_data(image)
	if $Speaker.playing:
		var playback = $Speaker.get_stream_playback()
		playback.push_buffer(client.sound(playback.get_frames_available()))


# Texture and speaker as the world needs them.
func begin():
	world = client.world()
	OS.set_window_title(world.title)
	texture = ImageTexture.new()
	texture.create(world.width, world.height, Image.FORMAT_RGB8, 0)
	if world.sound_rate_hz > 0:
		$Speaker.stream.mix_rate = world.sound_rate_hz
		$Speaker.play()


func key_name(code):
	if code in NAMED:
		return NAMED[code]
	if code >= KEY_A and code <= KEY_Z:
		return "Key" + char(code)
	if code >= KEY_0 and code <= KEY_9:
		return "Digit" + char(code)
	return ""


func _input(event):
	if event is InputEventKey and not event.echo and key_name(event.scancode):
		client.button(key_name(event.scancode), event.pressed)
	elif event is InputEventMouseButton and event.button_index in BUTTONS:
		client.button(BUTTONS[event.button_index], event.pressed)
	elif event is InputEventMouseMotion:
		client.mouse(event.relative.x, event.relative.y, 0)


func _notification(what):
	if what == MainLoop.NOTIFICATION_WM_FOCUS_OUT:
		client.release()
