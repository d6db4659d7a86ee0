"""GLSL of the headset: one rectangle, and for each of its pixels the ray that it stands for."""

WHOLE = """
#version 330
uniform vec4 tangents;      // of the left, right, upper and lower edge; with `sphere` the angles themselves, radians
out vec2 slope;
void main() {
    vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
    slope = vec2(mix(tangents.x, tangents.y, corner.x), mix(tangents.w, tangents.z, corner.y));
    gl_Position = vec4(corner * 2.0 - 1.0, 0.0, 1.0);
}
"""

RAYS = """
#version 330
uniform sampler2D picture;  // row 0 is the picture's top
uniform bool sphere;        // the target is an equirect picture, not an eye
uniform bool screen;        // a screen in the room, not a picture all around
uniform bool curved;
uniform bool linear_out;
uniform mat3 turn;          // from the eye's axes to the picture's
uniform vec3 eye;           // the eye in the picture's axes, m
uniform vec3 size;          // width, height and distance of the screen, m
uniform vec2 half_tan;      // of the picture all around
uniform vec3 ground;
uniform float vignette;
in vec2 slope;
out vec4 colour;

vec3 decode(vec3 c) { return mix(c / 12.92, pow((c + 0.055) / 1.055, vec3(2.4)), step(0.04045, c)); }

vec3 on_screen(vec3 ray) {
    vec2 at;                // where it meets the screen, m from its middle, right and up
    if (curved) {           // a cylinder about the viewer's place
        float a = dot(ray.xz, ray.xz), b = dot(eye.xz, ray.xz), c = dot(eye.xz, eye.xz) - size.z * size.z;
        float root = b * b - a * c;
        if (root < 0.0) return ground;
        vec3 hit = eye + ray * ((-b + sqrt(root)) / a);
        at = vec2(atan(hit.x, -hit.z) * size.z, hit.y);
    } else {
        float reach = (-size.z - eye.z) / ray.z;
        if (ray.z >= 0.0 || reach <= 0.0) return ground;
        at = (eye + ray * reach).xy;
    }
    vec2 uv = vec2(0.5, 0.5) + at / size.xy * vec2(1.0, -1.0);
    vec3 c = texture(picture, uv).rgb;
    vec2 edge = abs(uv - 0.5);
    return max(edge.x, edge.y) > 0.5 ? ground : c;
}

vec3 all_around(vec3 ray) {
    float ahead = max(-ray.z, 1e-3);
    vec2 at = ray.xy / ahead / half_tan;                // -1 to 1 in the picture
    vec2 inside = clamp(at, -1.0, 1.0);
    float beyond = ray.z < -1e-3 ? length(at - inside) : 100.0;
    vec2 uv = vec2(0.5) + inside * vec2(0.5, -0.5);
    vec3 sharp = texture(picture, uv).rgb, soft = textureLod(picture, uv, 5.0).rgb;
    float fade = exp(-2.0 * beyond);                    // the picture's edge goes on, soft, into the dark
    return mix(ground, mix(soft, sharp, beyond > 0.0 ? exp(-12.0 * beyond) : 1.0), fade);
}

void main() {
    vec3 ray = sphere
        ? vec3(sin(slope.x) * cos(slope.y), sin(slope.y), -cos(slope.x) * cos(slope.y))
        : vec3(slope, -1.0);
    ray = turn * ray;
    vec3 c = screen ? on_screen(ray) : all_around(ray);
    c *= 1.0 - vignette * smoothstep(0.35, 0.9, length(slope));
    colour = vec4(linear_out ? decode(c) : c, 1.0);
}
"""
