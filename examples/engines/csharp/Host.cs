// A C# program without a window: plays a world and writes its last picture.
//   mcs -out:host.exe examples/engines/csharp/Inhabit.cs examples/engines/csharp/Host.cs
//   LD_LIBRARY_PATH=FOLDER_OF_LIBINHABIT mono host.exe tcp://127.0.0.1:5555 picture.ppm ArrowRight 60
using System;
using System.IO;
using System.Text;

static class Host
{
    static int Main(string[] arguments)
    {
        if (arguments.Length != 4)
        {
            Console.Error.WriteLine("Expected: host.exe ENDPOINT PICTURE.ppm KEY FRAMES");
            return 2;
        }
        try { Play(arguments[0], arguments[1], arguments[2], int.Parse(arguments[3])); }
        catch (InhabitException error) { Console.Error.WriteLine(error.Message); return 1; }
        catch (DllNotFoundException) { Console.Error.WriteLine("libinhabit was not found: set LD_LIBRARY_PATH to its folder"); return 1; }
        return 0;
    }

    static void Play(string endpoint, string picture, string key, int frames)
    {
        using (var client = new InhabitClient(endpoint))
        {
            var found = client.World(60000);
            if (found == null) throw new InhabitException(-5, "Expected a world within 60 s, got none from " + endpoint);
            var world = found.Value;
            Console.WriteLine("{0}, {1} x {2}", world.Title, world.Width, world.Height);
            var pixels = new byte[world.Bytes];
            var frame = InhabitClient.Frame.Empty;
            client.Button(key, true);
            for (int shown = 0; shown < frames;)
                if (client.Poll(pixels, ref frame, 100)) shown++;
            Console.WriteLine("frame {0}", frame.Index);
            using (var file = File.Create(picture))
            {
                byte[] header = Encoding.ASCII.GetBytes("P6 " + frame.Width + " " + frame.Height + " 255\n");
                file.Write(header, 0, header.Length);
                file.Write(pixels, 0, (int)frame.Bytes);
            }
        }
    }
}
