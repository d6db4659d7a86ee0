/* Inhabit's worlds in any program: the C interface.

   The rules, all of them:
   - Results are int: 0 or more is fine, below 0 is an INHABIT_ERROR_*, and inhabit_last_error() says it in a sentence.
   - Nothing blocks longer than the time that you allow, and no thread ever calls you: work is done while you call.
   - You own every buffer; what the library writes, it writes before the call returns.
   - Every struct begins with struct_size: set it to sizeof, so that old programs run with newer libraries.
   - A client is a number. A closed or made-up one is an error, never a crash. 0 is no client.
   - Use one client from one thread at a time; two at once is an error. Different clients never disturb each other.
   - Text is UTF-8 and ends with 0. Pictures have row 0 on top unless INHABIT_BOTTOM_UP is asked for.

   The shortest program that sees a world:

       inhabit_options options = {.struct_size = sizeof options};
       inhabit_client client;
       inhabit_open("tcp://127.0.0.1:5555", &options, &client);    the sidecar: inhabit serve --bind tcp://127.0.0.1:5555
       for (;;) {
           inhabit_button(client, "ArrowLeft", key_is_down);
           if (inhabit_poll(client, pixels, sizeof pixels, &frame, 0) == 1) draw(pixels, frame.width, frame.height);
       }
*/
#ifndef INHABIT_H
#define INHABIT_H

#include <stddef.h>
#include <stdint.h>

#if defined(INHABIT_STATIC)
#define INHABIT_API
#elif defined(_WIN32) && defined(INHABIT_BUILD)
#define INHABIT_API __declspec(dllexport)
#elif defined(_WIN32)
#define INHABIT_API __declspec(dllimport)
#else
#define INHABIT_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef uint32_t inhabit_client;

enum inhabit_abi {
    /* Of this header. The upper number changes when programs must be mended, the lower one when something is added. */
    INHABIT_ABI_MAJOR = 1,
    INHABIT_ABI_MINOR = 0
};

enum inhabit_result {
    INHABIT_OK = 0,
    INHABIT_ERROR_ARGUMENT = -1,  /* the call itself is wrong: mend the program */
    INHABIT_ERROR_CLOSED = -2,    /* no such client, or it was closed */
    INHABIT_ERROR_THREAD = -3,    /* another thread is using this client right now */
    INHABIT_ERROR_BUFFER = -4,    /* the buffer is too small; frame.bytes says what is needed; nothing is lost */
    INHABIT_ERROR_TIMEOUT = -5,   /* not yet; call again to go on waiting */
    INHABIT_ERROR_ORDER = -6,     /* not now, or not in this mode */
    INHABIT_ERROR_REFUSED = -7,   /* the world said no, nothing changed */
    INHABIT_ERROR_FULL = -8,      /* every place in the sidecar is taken, or too much waits: later */
    INHABIT_ERROR_LOST = -9,      /* the sidecar is gone or hangs: close, and open a new client */
    INHABIT_ERROR_FAILED = -10,   /* the world broke: close, and open a new client */
    INHABIT_ERROR_VERSION = -11,  /* the sidecar speaks another wire version: use the same release on both sides */
    INHABIT_ERROR_PROTOCOL = -12, /* what answers is not a sidecar, or breaks the protocol */
    INHABIT_ERROR_SYSTEM = -13    /* out of memory, sockets or clients */
};

enum inhabit_mode {
    INHABIT_FREE = 0,    /* the world runs on its own clock, for people: inhabit_poll() */
    INHABIT_LOCKSTEP = 1 /* it moves one frame for each inhabit_step(), for agents and turn-based hosts */
};

enum inhabit_flags {
    INHABIT_RGBA8 = 1, /* pixels of 4 bytes R G B A with A = 255; without it 3 bytes R G B; no padding in either */
    INHABIT_BOTTOM_UP = 2, /* row 0 at the bottom, as OpenGL, Unity and Panda3D textures want it */
    INHABIT_NO_SHARED_MEMORY = 4 /* frames over the wire even where the sidecar could share its memory */
};

enum inhabit_state {
    INHABIT_CONNECTING = 0, /* nothing heard yet */
    INHABIT_LOADING = 1,    /* the world is being made or reset; may take minutes */
    INHABIT_READY = 2,      /* it is there, no episode yet */
    INHABIT_RUNNING = 3,
    INHABIT_PAUSED = 4,
    INHABIT_FAILED = 5,     /* the sidecar said so; reason tells why */
    INHABIT_LOST = 6        /* the sidecar says nothing more; reason tells how that was noticed */
};

typedef struct inhabit_options {
    uint32_t struct_size;
    int32_t mode;       /* enum inhabit_mode */
    uint32_t flags;     /* enum inhabit_flags, added up */
    int32_t timeout_ms; /* how long a sidecar may take to answer at all, and longest wait of reset and step; 0: 30000 */
    int32_t has_seed;   /* 0: the first episode (mode free begins it by itself) has a random seed */
    int64_t seed;       /* of the first episode, 0 or more */
    const char *name;   /* ours, in the sidecar's log; NULL: "inhabit-c" */
} inhabit_options;

typedef struct inhabit_world {
    uint32_t struct_size;
    int32_t width, height;       /* pixels */
    uint32_t bytes;              /* of a frame in the format that was asked for: the least capacity of your buffer */
    double rate_hz;              /* frames a second of the world's own clock */
    int32_t actions;             /* how many inhabit_describe_action() knows */
    int32_t prompts;             /* how many examples inhabit_prompt_example() knows; 0: it does not listen to words */
    int32_t sound_rate_hz;       /* 0: silent */
    int32_t sound_channels;
    char name[260];
    char title[1028];
} inhabit_world;

typedef struct inhabit_action {
    uint32_t struct_size;
    int32_t analog;   /* 0: on or off (0, 1); 1: an axis (-1 to 1) */
    char name[260];
    char keys[256];   /* names of the buttons that drive it, with spaces in between; empty when none does */
} inhabit_action;

typedef struct inhabit_status {
    uint32_t struct_size;
    int32_t state;         /* enum inhabit_state */
    uint64_t epoch;        /* grows with each reset */
    uint64_t frames;       /* that you were given */
    uint64_t made;         /* by the world in this session */
    uint64_t late;         /* ticks left out because the world was too slow for its own rate */
    double round_trip_ms;  /* of the last PING; below 0: not measured yet */
    char reason[516];      /* why the state is what it is, for people; often empty */
} inhabit_status;

typedef struct inhabit_frame {
    uint32_t struct_size;
    int32_t width, height;     /* pixels */
    uint32_t stride;           /* bytes from row to row: width * 3, or width * 4 with INHABIT_RGBA8 */
    uint32_t bytes;            /* of all rows */
    int32_t terminated;        /* the episode ended in the world since the last frame */
    int32_t truncated;         /* it was cut off for another reason */
    int32_t sound_samples;     /* that came with it, for each channel: inhabit_sound() */
    uint64_t epoch;            /* of the episode */
    uint64_t index;            /* frames since the reset */
    uint64_t skipped;          /* made, but replaced by this one before you asked */
    double reward;             /* earned since the last frame */
    double latency_ms;         /* from input to its arrival here; below 0: it is not the first to show a new input */
    double world_ms;           /* that the world took to make it; below 0: not told */
} inhabit_frame;

typedef struct inhabit_answer {
    uint32_t struct_size;
    int32_t refused;     /* 1: the world said no, text says what it expects */
    uint64_t epoch;
    uint64_t frame;      /* index of the first frame that can show what was asked for */
    char text[516];      /* what the world remarks, such as words that it does not know; often empty */
} inhabit_answer;

/* ------------------------------------------------------------------------------------------------------- the library */

/* INHABIT_ABI_MAJOR * 65536 + INHABIT_ABI_MINOR of the library. Another major number than the header's: do not use it. */
INHABIT_API uint32_t inhabit_abi_version(void);

/* Version of the library, such as "0.1.0". */
INHABIT_API const char *inhabit_version(void);

/* 1 when this build can do it, else 0: "lockstep", "free", "rgba8", "bottom_up", "sound", "prompts", "shared_memory". */
INHABIT_API int inhabit_has(const char *feature);

/* What the last failed call of this thread was about. Valid until the next call of this thread. Never NULL. */
INHABIT_API const char *inhabit_last_error(void);

/* -------------------------------------------------------------------------------------------------------- a session */

/* Begin a session. Returns at once, connected or not; *client is 0 when it fails. options may be NULL. */
INHABIT_API int inhabit_open(const char *endpoint, const inhabit_options *options, inhabit_client *client);

/* Give the place back. */
INHABIT_API int inhabit_close(inhabit_client client);

/* Wait until the world is there (inhabit_describe_world() works). ERROR_TIMEOUT: it loads still, or nobody answers. */
INHABIT_API int inhabit_wait(inhabit_client client, int timeout_ms);

/* How things stand. Does the same work as inhabit_poll(), so that a loading screen needs nothing else. */
INHABIT_API int inhabit_get_status(inhabit_client client, inhabit_status *status);

/* What world it is. ERROR_ORDER before it is there. */
INHABIT_API int inhabit_describe_world(inhabit_client client, inhabit_world *world);

/* What the world can be told to do; index from 0. */
INHABIT_API int inhabit_describe_action(inhabit_client client, int index, inhabit_action *action);

/* Copy an example of a prompt; index from 0. Returns its bytes without the 0 at the end. */
INHABIT_API int inhabit_prompt_example(inhabit_client client, int index, char *text, size_t capacity);

/* ------------------------------------------------------------------------------------------------------------ input */

/* A key or button went down (1) or up (0). Names are W3C KeyboardEvent.code ("KeyW", "ArrowLeft", "Space"), "Mouse0" to
   "Mouse4", "PadA", "PadDpadUp" ... A tap between two frames is not lost. */
INHABIT_API int inhabit_button(inhabit_client client, const char *name, int down);

/* A gamepad axis: "PadLX" "PadLY" "PadRX" "PadRY" from -1 to 1, right and down positive; "PadLT" "PadRT" from 0 to 1. */
INHABIT_API int inhabit_axis(inhabit_client client, const char *name, double value);

/* Mouse travel since the last call: pixels to the right and downwards, wheel notches away from the user. */
INHABIT_API int inhabit_mouse(inhabit_client client, double dx, double dy, double scroll);

/* The world's own action instead of devices, one number for each of world.actions; count 0: back to devices. */
INHABIT_API int inhabit_act(inhabit_client client, const float *values, size_t count);

/* Let go of everything, as when the window loses its focus. */
INHABIT_API int inhabit_release(inhabit_client client);

/* ----------------------------------------------------------------------------------------------------------- frames */

/* Mode free. Returns 1 when a new frame was written, 0 when there is none yet. Call it once for each frame that you
   draw, also while loading. With timeout_ms 0 the next frame travels while you draw this one; a client that draws
   slowly gets fresher ones with a few milliseconds. frame may be NULL. */
INHABIT_API int inhabit_poll(
    inhabit_client client, uint8_t *pixels, size_t capacity, inhabit_frame *frame, int timeout_ms);

/* Mode lock-step: move the world by one frame with the input as it is now. After ERROR_TIMEOUT the next call goes on
   waiting for the same frame. Before the first step: inhabit_reset(). */
INHABIT_API int inhabit_step(inhabit_client client, uint8_t *pixels, size_t capacity, inhabit_frame *frame);

/* Begin a new episode; seed below 0: a random one. Lock-step: waits for its first frame. Mode free: returns at once, a
   frame with a higher epoch will come; pixels and frame may be NULL and are not written. */
INHABIT_API int inhabit_reset(
    inhabit_client client, int64_t seed, uint8_t *pixels, size_t capacity, inhabit_frame *frame);

/* Take sound that came with the frames so far, interleaved 16-bit samples, oldest first. Returns samples for each
   channel, at most capacity. What nobody takes for half a second is dropped, the oldest first. */
INHABIT_API int inhabit_sound(inhabit_client client, int16_t *samples, size_t capacity);

/* --------------------------------------------------------------------------------------------------------- requests */

/* Each returns a number above 0 for inhabit_get_answer(), at once. They are carried out in order. */

/* Say to the world what it shall be; at most 512 characters. */
INHABIT_API int inhabit_prompt(inhabit_client client, const char *text);

/* Stop (1) the world's clock or let it go on (0). Mode free. */
INHABIT_API int inhabit_pause(inhabit_client client, int paused);

/* Change a setting of the world, such as "steps" to 2. */
INHABIT_API int inhabit_set(inhabit_client client, const char *name, double value);

/* 1: *answer was written; 0: none yet. The last 16 answers are kept. */
INHABIT_API int inhabit_get_answer(inhabit_client client, int request, inhabit_answer *answer);

#ifdef __cplusplus
}
#endif
#endif
