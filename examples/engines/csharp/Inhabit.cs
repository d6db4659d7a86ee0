// Inhabit for C#: the functions of inhabit.h that a game needs, through P/Invoke. Works in Unity, Mono and .NET.
// The library must lie where the runtime looks: Unity Assets/Plugins, beside the program, or LD_LIBRARY_PATH.
using System;
using System.Runtime.InteropServices;
using System.Text;

public sealed class InhabitException : Exception
{
    public readonly int Code;
    public InhabitException(int code, string text) : base(text) { Code = code; }
}

public sealed class InhabitClient : IDisposable
{
    public const int Rgba8 = 1, BottomUp = 2;
    const string Library = "inhabit";

    [StructLayout(LayoutKind.Sequential)]
    struct Options
    {
        public uint Size;
        public int Mode;
        public uint Flags;
        public int TimeoutMs, HasSeed;
        public long Seed;
        public IntPtr Name;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct WorldInfo
    {
        uint size;
        public int Width, Height;
        public uint Bytes;
        public double RateHz;
        public int Actions, Prompts, SoundRateHz, SoundChannels;
        [MarshalAs(UnmanagedType.ByValArray, SizeConst = 260)] byte[] name;
        [MarshalAs(UnmanagedType.ByValArray, SizeConst = 1028)] byte[] title;
        public string Name { get { return Text(name); } }
        public string Title { get { return Text(title); } }
        public static WorldInfo Empty { get { return new WorldInfo { size = (uint)Marshal.SizeOf(typeof(WorldInfo)) }; } }
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct Frame
    {
        uint size;
        public int Width, Height;
        public uint Stride, Bytes;
        public int Terminated, Truncated, SoundSamples;
        public ulong Epoch, Index, Skipped;
        public double Reward, LatencyMs, WorldMs;
        public static Frame Empty { get { return new Frame { size = (uint)Marshal.SizeOf(typeof(Frame)) }; } }
    }

    [DllImport(Library)] static extern uint inhabit_abi_version();
    [DllImport(Library)] static extern IntPtr inhabit_last_error();
    [DllImport(Library)] static extern int inhabit_open(byte[] endpoint, ref Options options, out uint client);
    [DllImport(Library)] static extern int inhabit_close(uint client);
    [DllImport(Library)] static extern int inhabit_wait(uint client, int timeoutMs);
    [DllImport(Library)] static extern int inhabit_describe_world(uint client, ref WorldInfo world);
    [DllImport(Library)] static extern int inhabit_poll(uint client, IntPtr pixels, UIntPtr capacity, ref Frame frame, int timeoutMs);
    [DllImport(Library)] static extern int inhabit_button(uint client, byte[] name, int down);
    [DllImport(Library)] static extern int inhabit_axis(uint client, byte[] name, double value);
    [DllImport(Library)] static extern int inhabit_mouse(uint client, double dx, double dy, double scroll);
    [DllImport(Library)] static extern int inhabit_release(uint client);
    [DllImport(Library)] static extern int inhabit_prompt(uint client, byte[] text);
    [DllImport(Library)] static extern int inhabit_sound(uint client, short[] samples, UIntPtr capacity);

    readonly uint client;

    /// Begin a session; returns at once. Throws when the address is wrong or the library is another version.
    public InhabitClient(string endpoint, int flags = 0, string name = "C#")
    {
        if (inhabit_abi_version() >> 16 != 1) throw new InhabitException(0, "Expected an inhabit library with ABI 1");
        IntPtr text = Marshal.StringToHGlobalAnsi(name);
        var options = new Options { Size = (uint)Marshal.SizeOf(typeof(Options)), Flags = (uint)flags, Name = text };
        int result = inhabit_open(Bytes(endpoint), ref options, out client);
        Marshal.FreeHGlobal(text);
        Check(result);
    }

    public void Dispose() { inhabit_close(client); }

    /// What world it is; null while it is not there yet. Waits for at most so many milliseconds.
    public WorldInfo? World(int timeoutMs = 0)
    {
        const int Timeout = -5;
        int result = inhabit_wait(client, timeoutMs);
        if (result == Timeout) return null;
        Check(result);
        var world = WorldInfo.Empty;
        Check(inhabit_describe_world(client, ref world));
        return world;
    }

    /// Write the newest frame to memory that does not move, such as a texture's. False when there is none yet.
    public bool Poll(IntPtr pixels, long capacity, ref Frame frame, int timeoutMs = 0)
    {
        return Check(inhabit_poll(client, pixels, new UIntPtr((ulong)capacity), ref frame, timeoutMs)) == 1;
    }

    public bool Poll(byte[] pixels, ref Frame frame, int timeoutMs = 0)
    {
        GCHandle pinned = GCHandle.Alloc(pixels, GCHandleType.Pinned);
        try { return Poll(pinned.AddrOfPinnedObject(), pixels.Length, ref frame, timeoutMs); }
        finally { pinned.Free(); }
    }

    public void Button(string name, bool down) { Check(inhabit_button(client, Bytes(name), down ? 1 : 0)); }
    public void Axis(string name, double value) { Check(inhabit_axis(client, Bytes(name), value)); }
    public void Mouse(double dx, double dy, double scroll) { Check(inhabit_mouse(client, dx, dy, scroll)); }
    public void Release() { Check(inhabit_release(client)); }
    public void Prompt(string text) { Check(inhabit_prompt(client, Bytes(text))); }

    /// Take interleaved samples. Returns how many for each channel.
    public int Sound(short[] samples, int channels) { return Check(inhabit_sound(client, samples, new UIntPtr((ulong)(samples.Length / channels)))); }

    static int Check(int result)
    {
        if (result < 0) throw new InhabitException(result, Marshal.PtrToStringAnsi(inhabit_last_error()));
        return result;
    }

    static byte[] Bytes(string text) { return Encoding.UTF8.GetBytes(text + "\0"); }
    static string Text(byte[] bytes) { return Encoding.UTF8.GetString(bytes, 0, Array.IndexOf(bytes, (byte)0)); }
}
