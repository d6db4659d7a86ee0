/* Plays N frames in lock-step and N/10 free-running, with sound, prompts, wrong calls and many openings. For sanitizers. */
#include <inhabit.h>

#include <stdio.h>
#include <stdlib.h>

#define CHECK(call, wanted)                                                                     \
    do {                                                                                        \
        int result = (call);                                                                    \
        if (result != (wanted)) {                                                               \
            fprintf(stderr, "%s gave %d, wanted %d: %s\n", #call, result, wanted, inhabit_last_error()); \
            exit(1);                                                                            \
        }                                                                                       \
    } while (0)

int main(int count, char **arguments) {
    static unsigned char pixels[64 * 48 * 4];
    static short sound[2 * 8192];
    const char *endpoint = count > 2 ? arguments[1] : "";
    int frames = count > 2 ? atoi(arguments[2]) : 0;
    inhabit_frame frame = {sizeof frame};
    inhabit_options options = {sizeof options, .mode = INHABIT_LOCKSTEP, .flags = INHABIT_RGBA8 | INHABIT_BOTTOM_UP};
    inhabit_client agent, person, brief;
    CHECK(inhabit_open(endpoint, &options, &agent), 0);
    CHECK(inhabit_reset(agent, 1, pixels, sizeof pixels, &frame), 0);
    for (int i = 1; i <= frames; i++) {
        inhabit_button(agent, i / 50 % 2 ? "ArrowLeft" : "ArrowRight", i % 50 != 0);
        inhabit_axis(agent, "PadLX", i % 3 - 1);
        inhabit_mouse(agent, i % 7, -3, 1);
        CHECK(inhabit_step(agent, pixels, sizeof pixels, &frame), 0);
        if ((int)frame.index != i) return fprintf(stderr, "frame %d has index %d\n", i, (int)frame.index), 1;
        if (i % 2) inhabit_sound(agent, sound, 8192);
        if (i % 100 == 0) inhabit_prompt(agent, i % 200 ? "red" : "nonsense");
        if (i % 100 == 1) CHECK(inhabit_step(agent, pixels, 10, &frame), INHABIT_ERROR_BUFFER);
    }
    options.mode = INHABIT_FREE;
    options.flags = 0;
    CHECK(inhabit_open(endpoint, &options, &person), 0);
    for (int shown = 0; shown < frames / 100;) {
        int result = inhabit_poll(person, pixels, sizeof pixels, &frame, 20);
        if (result < 0) return fprintf(stderr, "poll: %s\n", inhabit_last_error()), 1;
        inhabit_button(person, "Space", shown % 2);
        shown += result;
    }
    for (int i = 0; i < 20; i++) { /* openings that never come to anything */
        CHECK(inhabit_open(i % 2 ? endpoint : "tcp://127.0.0.1:9", &options, &brief), 0);
        inhabit_prompt(brief, "red");
        inhabit_poll(brief, pixels, sizeof pixels, &frame, i);
        CHECK(inhabit_close(brief), 0);
        CHECK(inhabit_close(brief), INHABIT_ERROR_CLOSED);
    }
    CHECK(inhabit_open("nonsense", &options, &brief), INHABIT_ERROR_ARGUMENT);
    CHECK(inhabit_close(person), 0);
    CHECK(inhabit_close(agent), 0);
    printf("%d frames\n", frames);
    return 0;
}
