"""GLSL of the view. Every program draws one rectangle; `uv` has v = 0 at the picture's top."""

VERTEX = """
#version 330
uniform vec4 place;     // left, bottom, width, height in clip space
uniform float top;      // v at the rectangle's lower edge: 1 for the screen, 0 for a texture that keeps row 0 first
out vec2 uv;
void main() {
    vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
    uv = vec2(corner.x, mix(corner.y, 1.0 - corner.y, top));
    gl_Position = vec4(place.xy + corner * place.zw, 0.0, 1.0);
}
"""

COPY = """
#version 330
uniform sampler2D source;
uniform bool linear_out;
in vec2 uv;
out vec4 colour;
vec3 decode(vec3 c) { return mix(c / 12.92, pow((c + 0.055) / 1.055, vec3(2.4)), step(0.04045, c)); }
void main() {
    vec3 c = texture(source, uv).rgb;
    colour = vec4(linear_out ? decode(c) : c, 1.0);
}
"""

NEAREST = COPY.replace("texture(source, uv)", "texelFetch(source, ivec2(uv * vec2(textureSize(source, 0))), 0)")

MIX = """
#version 330
uniform sampler2D source;
uniform sampler2D newer;
uniform float share;
in vec2 uv;
out vec4 colour;
void main() { colour = vec4(mix(texture(source, uv).rgb, texture(newer, uv).rgb, share), 1.0); }
"""

OVER = """
#version 330
uniform sampler2D source;
in vec2 uv;
out vec4 colour;
void main() { colour = texture(source, uv); }
"""

# Lanczos with three lobes, one direction at a time. Source: Turkowski, Filters for Common Resampling Tasks (1990).
LANCZOS = """
#version 330
uniform sampler2D source;
uniform vec2 along;     // (1, 0) or (0, 1)
uniform bool linear_out;
in vec2 uv;
out vec4 colour;
const float PI = 3.14159265;
float weight(float x) {
    x = abs(x) * PI;
    return x < 1e-4 ? 1.0 : x > 3.0 * PI ? 0.0 : 3.0 * sin(x) * sin(x / 3.0) / (x * x);
}
vec3 decode(vec3 c) { return mix(c / 12.92, pow((c + 0.055) / 1.055, vec3(2.4)), step(0.04045, c)); }
void main() {
    vec2 size = vec2(textureSize(source, 0));
    vec2 at = uv * size - 0.5;
    float place = dot(at, along), base = floor(place);
    vec3 sum = vec3(0.0);
    float total = 0.0;
    for (int tap = -2; tap <= 3; ++tap) {
        float w = weight(base + float(tap) - place);
        vec2 p = mix(at, vec2(base + float(tap)), along) + 0.5;
        sum += w * texture(source, p / size).rgb;
        total += w;
    }
    vec3 c = clamp(sum / total, 0.0, 1.0);
    colour = vec4(linear_out ? decode(c) : c, 1.0);
}
"""

# Sixteen texels, weighed by a kernel that is short across an edge and long along it. Which way an edge runs is the
# smaller eigenvector of the structure tensor of the four middle texels. What comes out never leaves the range of
# those four, so there is no ringing. Sources: Bigun and Granlund (1987) for the tensor; Li and Orchard (2001) for
# edge-directed kernels.
EDGE = """
#version 330
uniform sampler2D source;
in vec2 uv;
out vec4 colour;
float luma(vec3 c) { return dot(c, vec3(0.299, 0.587, 0.114)); }
void main() {
    ivec2 size = textureSize(source, 0);
    vec2 at = uv * vec2(size) - 0.5;
    ivec2 base = ivec2(floor(at));
    vec2 f = at - vec2(base);
    vec3 c[16];
    float l[16];
    for (int j = 0; j < 4; ++j)
        for (int i = 0; i < 4; ++i) {
            c[j * 4 + i] = texelFetch(source, clamp(base + ivec2(i - 1, j - 1), ivec2(0), size - 1), 0).rgb;
            l[j * 4 + i] = luma(c[j * 4 + i]);
        }
    vec3 tensor = vec3(1e-6, 1e-6, 0.0);        // xx, yy, xy
    for (int j = 1; j < 3; ++j)
        for (int i = 1; i < 3; ++i) {
            float w = (i == 1 ? 1.0 - f.x : f.x) * (j == 1 ? 1.0 - f.y : f.y);
            int k = j * 4 + i;
            vec2 g = vec2(l[k + 1] - l[k - 1], l[k + 4] - l[k - 4]);
            tensor += w * vec3(g.x * g.x, g.y * g.y, g.x * g.y);
        }
    float spread = sqrt((tensor.x - tensor.y) * (tensor.x - tensor.y) + 4.0 * tensor.z * tensor.z);
    float sum = tensor.x + tensor.y;
    float straight = spread / sum;               // 0: no direction, 1: a clean edge
    float sharp = straight * smoothstep(1e-4, 2e-3, sum);
    float angle = 0.5 * atan(2.0 * tensor.z, tensor.x - tensor.y);
    vec2 across = vec2(cos(angle), sin(angle));
    vec2 reach = mix(vec2(1.0), vec2(1.15, 0.5), sharp);
    vec3 total = vec3(0.0), low = vec3(1.0), high = vec3(0.0);
    float weights = 0.0;
    for (int j = 0; j < 4; ++j)
        for (int i = 0; i < 4; ++i) {
            vec2 d = vec2(i - 1, j - 1) - f;
            vec2 turned = vec2(dot(d, across), dot(d, vec2(-across.y, across.x))) * reach;
            float r = min(dot(turned, turned), 4.0);    // of squared distance: Lanczos with two lobes, to 1 %
            float w = (1.0 - r) * (1.0 - r * 0.25) * (1.0 - r * 0.25) / (1.0 + r * (0.5 + 0.3 * r));
            total += w * c[j * 4 + i];
            weights += w;
            if (i > 0 && i < 3 && j > 0 && j < 3) {
                low = min(low, c[j * 4 + i]);
                high = max(high, c[j * 4 + i]);
            }
        }
    colour = vec4(clamp(total / weights, low, high), 1.0);
}
"""

# Sharpen where there is room for it: less at strong edges, never beyond the range of the cross of five.
SHARPEN = """
#version 330
uniform sampler2D source;
uniform float strength;     // 0 to 1
in vec2 uv;
out vec4 colour;
void main() {
    ivec2 size = textureSize(source, 0), at = ivec2(uv * vec2(size));
    vec3 c = texelFetch(source, at, 0).rgb;
    vec3 n = texelFetch(source, clamp(at - ivec2(0, 1), ivec2(0), size - 1), 0).rgb;
    vec3 s = texelFetch(source, clamp(at + ivec2(0, 1), ivec2(0), size - 1), 0).rgb;
    vec3 w = texelFetch(source, clamp(at - ivec2(1, 0), ivec2(0), size - 1), 0).rgb;
    vec3 e = texelFetch(source, clamp(at + ivec2(1, 0), ivec2(0), size - 1), 0).rgb;
    vec3 low = min(c, min(min(n, s), min(w, e))), high = max(c, max(max(n, s), max(w, e)));
    vec3 room = sqrt(clamp(min(low, 1.0 - high) / max(high, 1e-3), 0.0, 1.0));
    vec3 side = -room * mix(0.0, 0.2, strength);
    colour = vec4(clamp((c + side * (n + s + w + e)) / (1.0 + 4.0 * side), low, high), 1.0);
}
"""
