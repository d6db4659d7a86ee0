# A neural world on a TextureRect. Start a sidecar, then: godot --path examples/engines/godot4
# The address is the environment variable INHABIT_ENDPOINT, or tcp://127.0.0.1:5555.
extends TextureRect

const NAMED := {
	KEY_LEFT: "ArrowLeft", KEY_RIGHT: "ArrowRight", KEY_UP: "ArrowUp", KEY_DOWN: "ArrowDown", KEY_SPACE: "Space",
	KEY_ENTER: "Enter", KEY_ESCAPE: "Escape", KEY_TAB: "Tab", KEY_SHIFT: "ShiftLeft", KEY_CTRL: "ControlLeft",
}
const BUTTONS := {MOUSE_BUTTON_LEFT: "Mouse0", MOUSE_BUTTON_MIDDLE: "Mouse1", MOUSE_BUTTON_RIGHT: "Mouse2"}

var client := InhabitClient.new()
var world := {}


func _ready() -> void:
	var endpoint := OS.get_environment("INHABIT_ENDPOINT")
	if client.open(endpoint if endpoint else "tcp://127.0.0.1:5555") < 0:
		$Trouble.text = client.last_error()


func _process(_delta: float) -> void:
	var pixels: Variant = client.poll()
	if pixels is int:
		$Trouble.text = client.last_error()
	elif pixels != null:
		if world.is_empty():
			begin()
		var image := Image.create_from_data(world.width, world.height, false, Image.FORMAT_RGB8, pixels)
		if texture == null:
			texture = ImageTexture.create_from_image(image)
		else:
			(texture as ImageTexture).update(image)
	if $Speaker.playing:
		var playback: AudioStreamGeneratorPlayback = $Speaker.get_stream_playback()
		playback.push_buffer(client.sound(playback.get_frames_available()))


# Title and speaker as the world needs them.
func begin() -> void:
	world = client.world()
	get_window().title = world.title
	if world.sound_rate_hz > 0:
		$Speaker.stream.mix_rate = world.sound_rate_hz
		$Speaker.play()


func key_name(code: int) -> String:
	if code in NAMED:
		return NAMED[code]
	if code >= KEY_A and code <= KEY_Z:
		return "Key" + char(code)
	if code >= KEY_0 and code <= KEY_9:
		return "Digit" + char(code)
	return ""


func _input(event: InputEvent) -> void:
	if event is InputEventKey and not event.echo and key_name(event.physical_keycode):
		client.button(key_name(event.physical_keycode), event.pressed)
	elif event is InputEventMouseButton and event.button_index in BUTTONS:
		client.button(BUTTONS[event.button_index], event.pressed)
	elif event is InputEventMouseMotion:
		client.mouse(event.relative.x, event.relative.y, 0)


func _notification(what: int) -> void:
	if what == NOTIFICATION_APPLICATION_FOCUS_OUT:
		client.release()
