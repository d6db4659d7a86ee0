#include "inhabit_client.hpp"

#include <gdextension_interface.h>
#include <godot_cpp/core/class_db.hpp>
#include <godot_cpp/godot.hpp>

#include <vector>

using namespace godot;

InhabitClient::~InhabitClient() { inhabit_close(client); }

int InhabitClient::open(const String &endpoint) {
    inhabit_options options = {};
    options.struct_size = sizeof options;
    options.name = "Godot 4";
    inhabit_close(client);
    known = {};
    return inhabit_open(endpoint.utf8().get_data(), &options, &client);
}

int InhabitClient::close() { return inhabit_close(client); }

String InhabitClient::last_error() const { return String::utf8(inhabit_last_error()); }

Variant InhabitClient::poll() {
    if (known.width == 0) {
        int result = inhabit_poll(client, nullptr, 0, nullptr, 0); // turns the connection
        known.struct_size = sizeof known;
        if (inhabit_describe_world(client, &known) < 0) {
            known.width = 0;
            return result < 0 ? Variant(result) : Variant();
        }
    }
    PackedByteArray pixels;
    pixels.resize(known.bytes);
    int result = inhabit_poll(client, pixels.ptrw(), known.bytes, nullptr, 0);
    if (result == 1) return pixels;
    return result < 0 ? Variant(result) : Variant();
}

Dictionary InhabitClient::world() const {
    Dictionary told;
    if (known.width == 0) return told;
    told["title"] = String::utf8(known.title);
    told["width"] = known.width;
    told["height"] = known.height;
    told["rate_hz"] = known.rate_hz;
    told["sound_rate_hz"] = known.sound_rate_hz;
    return told;
}

Dictionary InhabitClient::status() {
    inhabit_status status = {};
    status.struct_size = sizeof status;
    Dictionary told;
    if (inhabit_get_status(client, &status) < 0) return told;
    told["state"] = status.state;
    told["reason"] = String::utf8(status.reason);
    return told;
}

PackedVector2Array InhabitClient::sound(int most) {
    PackedVector2Array pairs;
    int channels = known.width ? known.sound_channels : 0;
    if (channels == 0 || most <= 0) return pairs;
    std::vector<int16_t> samples(size_t(most) * channels);
    int taken = inhabit_sound(client, samples.data(), size_t(most));
    for (int i = 0; i < taken; i++) {
        const int16_t *at = samples.data() + size_t(i) * channels;
        pairs.push_back(Vector2(at[0] / 32768.0f, at[channels > 1] / 32768.0f));
    }
    return pairs;
}

int InhabitClient::button(const String &name, bool down) { return inhabit_button(client, name.utf8().get_data(), down); }

int InhabitClient::axis(const String &name, double value) { return inhabit_axis(client, name.utf8().get_data(), value); }

int InhabitClient::mouse(double dx, double dy, double scroll) { return inhabit_mouse(client, dx, dy, scroll); }

int InhabitClient::release() { return inhabit_release(client); }

int InhabitClient::prompt(const String &text) { return inhabit_prompt(client, text.utf8().get_data()); }

int InhabitClient::reset(int64_t seed) { return inhabit_reset(client, seed, nullptr, 0, nullptr); }

void InhabitClient::_bind_methods() {
    ClassDB::bind_method(D_METHOD("open", "endpoint"), &InhabitClient::open);
    ClassDB::bind_method(D_METHOD("close"), &InhabitClient::close);
    ClassDB::bind_method(D_METHOD("last_error"), &InhabitClient::last_error);
    ClassDB::bind_method(D_METHOD("poll"), &InhabitClient::poll);
    ClassDB::bind_method(D_METHOD("world"), &InhabitClient::world);
    ClassDB::bind_method(D_METHOD("status"), &InhabitClient::status);
    ClassDB::bind_method(D_METHOD("sound", "most"), &InhabitClient::sound);
    ClassDB::bind_method(D_METHOD("button", "name", "down"), &InhabitClient::button);
    ClassDB::bind_method(D_METHOD("axis", "name", "value"), &InhabitClient::axis);
    ClassDB::bind_method(D_METHOD("mouse", "dx", "dy", "scroll"), &InhabitClient::mouse);
    ClassDB::bind_method(D_METHOD("release"), &InhabitClient::release);
    ClassDB::bind_method(D_METHOD("prompt", "text"), &InhabitClient::prompt);
    ClassDB::bind_method(D_METHOD("reset", "seed"), &InhabitClient::reset);
}

// ------------------------------------------------------------------------------------------------------- registration

static void begin(ModuleInitializationLevel level) {
    if (level == MODULE_INITIALIZATION_LEVEL_SCENE) ClassDB::register_class<InhabitClient>();
}

static void end(ModuleInitializationLevel) {}

extern "C" GDExtensionBool GDE_EXPORT inhabit_godot_init(
    GDExtensionInterfaceGetProcAddress get_proc_address, GDExtensionClassLibraryPtr library,
    GDExtensionInitialization *initialization) {
    GDExtensionBinding::InitObject object(get_proc_address, library, initialization);
    object.register_initializer(begin);
    object.register_terminator(end);
    object.set_minimum_library_initialization_level(MODULE_INITIALIZATION_LEVEL_SCENE);
    return object.init();
}
