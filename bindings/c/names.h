/* Names of buttons and axes as the wire knows them: W3C key codes, mouse buttons, W3C standard gamepad. */
#ifndef INH_NAMES_H
#define INH_NAMES_H

enum { INH_BUTTONS = 119, INH_AXES = 6, INH_TRIGGERS_FROM = 4 };

extern const char *const inh_buttons[INH_BUTTONS];
extern const char *const inh_axes[INH_AXES];

/* Index of a name, -1 when there is none such. */
int inh_button_index(const char *name);
int inh_axis_index(const char *name);

#endif
