/* Inhabit for Godot 3 (GDNative): a NativeScript class that wraps inhabit.h, see main.gd for its use.
   Every method returns what inhabit.h returns, unless it says otherwise below. */
#include <gdnative_api_struct.gen.h>
#include <inhabit.h>

#include <stdlib.h>
#include <string.h>

static const godot_gdnative_core_api_struct *api;
static const godot_gdnative_ext_nativescript_api_struct *nativescript;

typedef struct {
    inhabit_client client;
    inhabit_world world; /* width 0 until it is known */
    inhabit_frame frame;
} self_data;

#define METHOD(name) \
    static godot_variant name(godot_object *object, void *method_data, void *user, int count, godot_variant **given)
#define BEGIN               \
    self_data *self = user; \
    (void)object, (void)method_data, (void)self, (void)count, (void)given

/* ---------------------------------------------------------------------------------------------------------- values */

static godot_variant integer(int64_t value) {
    godot_variant variant;
    api->godot_variant_new_int(&variant, value);
    return variant;
}

static godot_variant text(const char *bytes) {
    godot_variant variant;
    godot_string string;
    api->godot_string_new(&string);
    api->godot_string_parse_utf8(&string, bytes);
    api->godot_variant_new_string(&variant, &string);
    api->godot_string_destroy(&string);
    return variant;
}

static godot_variant real(double value) {
    godot_variant variant;
    api->godot_variant_new_real(&variant, value);
    return variant;
}

/* Put into a dictionary; the value is destroyed. */
static void put(godot_dictionary *dictionary, const char *name, godot_variant value) {
    godot_variant key = text(name);
    api->godot_dictionary_set(dictionary, &key, &value);
    api->godot_variant_destroy(&key);
    api->godot_variant_destroy(&value);
}

static godot_variant finished(godot_dictionary *dictionary) {
    godot_variant variant;
    api->godot_variant_new_dictionary(&variant, dictionary);
    api->godot_dictionary_destroy(dictionary);
    return variant;
}

/* A call with the first argument as text. */
typedef struct {
    godot_string string;
    godot_char_string bytes;
    const char *text;
} argument;

static argument take_text(int count, godot_variant **given) {
    argument taken = {.text = NULL};
    if (!count) return taken;
    taken.string = api->godot_variant_as_string(given[0]);
    taken.bytes = api->godot_string_utf8(&taken.string);
    taken.text = api->godot_char_string_get_data(&taken.bytes);
    return taken;
}

static void free_text(argument *taken) {
    if (!taken->text) return;
    api->godot_char_string_destroy(&taken->bytes);
    api->godot_string_destroy(&taken->string);
}

static double number(int count, godot_variant **given, int index) {
    return index < count ? api->godot_variant_as_real(given[index]) : 0;
}

/* --------------------------------------------------------------------------------------------------------- methods */

METHOD(open_client) { /* open(endpoint) */
    BEGIN;
    argument endpoint = take_text(count, given);
    inhabit_options options = {.struct_size = sizeof options, .name = "Godot 3"};
    inhabit_close(self->client);
    self->world.width = 0;
    int result = inhabit_open(endpoint.text, &options, &self->client);
    free_text(&endpoint);
    return integer(result);
}

METHOD(close_client) { /* close() */
    BEGIN;
    return integer(inhabit_close(self->client));
}

METHOD(last_error) { /* last_error() -> String */
    BEGIN;
    return text(inhabit_last_error());
}

METHOD(poll) { /* poll() -> PoolByteArray with R G B of the newest frame, null when there is none, int for an error */
    BEGIN;
    if (!self->world.width) {
        int result = inhabit_poll(self->client, NULL, 0, NULL, 0); /* turns the connection */
        self->world.struct_size = sizeof self->world;
        if (inhabit_describe_world(self->client, &self->world) < 0) {
            self->world.width = 0;
            godot_variant none;
            api->godot_variant_new_nil(&none);
            return result < 0 ? integer(result) : none;
        }
    }
    godot_pool_byte_array bytes;
    api->godot_pool_byte_array_new(&bytes);
    api->godot_pool_byte_array_resize(&bytes, (godot_int)self->world.bytes);
    godot_pool_byte_array_write_access *access = api->godot_pool_byte_array_write(&bytes);
    self->frame.struct_size = sizeof self->frame;
    uint8_t *pixels = api->godot_pool_byte_array_write_access_ptr(access);
    int result = inhabit_poll(self->client, pixels, self->world.bytes, &self->frame, 0);
    api->godot_pool_byte_array_write_access_destroy(access);
    godot_variant variant;
    if (result == 1)
        api->godot_variant_new_pool_byte_array(&variant, &bytes);
    else if (result == 0)
        api->godot_variant_new_nil(&variant);
    else
        variant = integer(result);
    api->godot_pool_byte_array_destroy(&bytes);
    return variant;
}

METHOD(world) { /* world() -> Dictionary, empty until it is known */
    BEGIN;
    godot_dictionary d;
    api->godot_dictionary_new(&d);
    if (self->world.width) {
        put(&d, "title", text(self->world.title));
        put(&d, "width", integer(self->world.width));
        put(&d, "height", integer(self->world.height));
        put(&d, "rate_hz", real(self->world.rate_hz));
        put(&d, "sound_rate_hz", integer(self->world.sound_rate_hz));
        put(&d, "sound_channels", integer(self->world.sound_channels));
    }
    return finished(&d);
}

METHOD(frame) { /* frame() -> Dictionary of the last frame */
    BEGIN;
    godot_dictionary d;
    api->godot_dictionary_new(&d);
    put(&d, "index", integer((int64_t)self->frame.index));
    put(&d, "epoch", integer((int64_t)self->frame.epoch));
    put(&d, "reward", real(self->frame.reward));
    put(&d, "terminated", integer(self->frame.terminated));
    put(&d, "latency_ms", real(self->frame.latency_ms));
    return finished(&d);
}

METHOD(status) { /* status() -> Dictionary with state (enum inhabit_state) and reason */
    BEGIN;
    inhabit_status status = {.struct_size = sizeof status};
    godot_dictionary d;
    api->godot_dictionary_new(&d);
    if (inhabit_get_status(self->client, &status) == INHABIT_OK) {
        put(&d, "state", integer(status.state));
        put(&d, "reason", text(status.reason));
        put(&d, "round_trip_ms", real(status.round_trip_ms));
    }
    return finished(&d);
}

METHOD(sound) { /* sound(most) -> PoolVector2Array for AudioStreamGeneratorPlayback.push_buffer */
    BEGIN;
    int channels = self->world.width ? self->world.sound_channels : 0;
    int most = (int)number(count, given, 0);
    int16_t *samples = channels && most > 0 ? malloc((size_t)most * (size_t)channels * sizeof *samples) : NULL;
    int taken = samples ? inhabit_sound(self->client, samples, (size_t)most) : 0;
    godot_pool_vector2_array pairs;
    api->godot_pool_vector2_array_new(&pairs);
    for (int i = 0; i < taken; i++) {
        const int16_t *at = samples + i * channels;
        godot_vector2 pair;
        api->godot_vector2_new(&pair, at[0] / 32768.0f, at[channels > 1] / 32768.0f);
        api->godot_pool_vector2_array_append(&pairs, &pair);
    }
    free(samples);
    godot_variant variant;
    api->godot_variant_new_pool_vector2_array(&variant, &pairs);
    api->godot_pool_vector2_array_destroy(&pairs);
    return variant;
}

METHOD(button) { /* button(name, down) */
    BEGIN;
    argument name = take_text(count, given);
    int result = inhabit_button(self->client, name.text, number(count, given, 1) != 0);
    free_text(&name);
    return integer(result);
}

METHOD(axis) { /* axis(name, value) */
    BEGIN;
    argument name = take_text(count, given);
    int result = inhabit_axis(self->client, name.text, number(count, given, 1));
    free_text(&name);
    return integer(result);
}

METHOD(mouse) { /* mouse(dx, dy, scroll) */
    BEGIN;
    return integer(inhabit_mouse(self->client, number(count, given, 0), number(count, given, 1), number(count, given, 2)));
}

METHOD(release_all) { /* release() */
    BEGIN;
    return integer(inhabit_release(self->client));
}

METHOD(prompt) { /* prompt(text) */
    BEGIN;
    argument words = take_text(count, given);
    int result = inhabit_prompt(self->client, words.text);
    free_text(&words);
    return integer(result);
}

METHOD(reset) { /* reset(seed): below 0 a random one */
    BEGIN;
    return integer(inhabit_reset(self->client, (int64_t)number(count, given, 0), NULL, 0, NULL));
}

/* ---------------------------------------------------------------------------------------------------- registration */

static void *create(godot_object *object, void *method_data) {
    (void)object, (void)method_data;
    return calloc(1, sizeof(self_data));
}

static void destroy(godot_object *object, void *method_data, void *user) {
    (void)object, (void)method_data;
    self_data *self = user;
    inhabit_close(self->client);
    free(self);
}

void GDN_EXPORT godot_gdnative_init(godot_gdnative_init_options *options) {
    api = options->api_struct;
    for (unsigned i = 0; i < api->num_extensions; i++)
        if (api->extensions[i]->type == GDNATIVE_EXT_NATIVESCRIPT)
            nativescript = (const godot_gdnative_ext_nativescript_api_struct *)api->extensions[i];
}

void GDN_EXPORT godot_gdnative_terminate(godot_gdnative_terminate_options *options) {
    (void)options;
    api = NULL;
    nativescript = NULL;
}

void GDN_EXPORT godot_nativescript_init(void *handle) {
    static const struct {
        const char *name;
        godot_variant (*call)(godot_object *, void *, void *, int, godot_variant **);
    } METHODS[] = {
        {"open", open_client}, {"close", close_client}, {"last_error", last_error}, {"poll", poll}, {"world", world},
        {"frame", frame}, {"status", status}, {"sound", sound}, {"button", button}, {"axis", axis}, {"mouse", mouse},
        {"release", release_all}, {"prompt", prompt}, {"reset", reset},
    };
    godot_instance_create_func make = {create, NULL, NULL};
    godot_instance_destroy_func unmake = {destroy, NULL, NULL};
    nativescript->godot_nativescript_register_class(handle, "InhabitClient", "Reference", make, unmake);
    for (size_t i = 0; i < sizeof METHODS / sizeof *METHODS; i++) {
        godot_method_attributes attributes = {GODOT_METHOD_RPC_MODE_DISABLED};
        godot_instance_method method = {METHODS[i].call, NULL, NULL};
        nativescript->godot_nativescript_register_method(handle, "InhabitClient", METHODS[i].name, attributes, method);
    }
}
