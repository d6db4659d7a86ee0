// Inhabit for Godot 4 (GDExtension, godot-cpp 4.3 or newer): inhabit.h as a RefCounted class, see main.gd for its use.
// Every method returns what inhabit.h returns, unless it says otherwise.
#pragma once

#include <godot_cpp/classes/ref_counted.hpp>
#include <godot_cpp/variant/dictionary.hpp>
#include <godot_cpp/variant/packed_byte_array.hpp>
#include <godot_cpp/variant/packed_vector2_array.hpp>
#include <godot_cpp/variant/string.hpp>
#include <inhabit.h>

class InhabitClient : public godot::RefCounted {
    GDCLASS(InhabitClient, godot::RefCounted)

public:
    ~InhabitClient() override;

    int open(const godot::String &endpoint);
    int close();
    godot::String last_error() const;

    // R G B of the newest frame, null when there is none yet, a number below 0 for an error.
    godot::Variant poll();
    // title, width, height, rate_hz, sound_rate_hz; empty until they are known.
    godot::Dictionary world() const;
    // state (enum inhabit_state) and reason.
    godot::Dictionary status();
    // For AudioStreamGeneratorPlayback.push_buffer.
    godot::PackedVector2Array sound(int most);

    int button(const godot::String &name, bool down);
    int axis(const godot::String &name, double value);
    int mouse(double dx, double dy, double scroll);
    int release();
    int prompt(const godot::String &text);
    int reset(int64_t seed);

protected:
    static void _bind_methods();

private:
    inhabit_client client = 0;
    inhabit_world known = {};
};
