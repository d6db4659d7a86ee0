// A neural world as the texture of whatever has this component. Unity 2021 or newer; needs Inhabit.cs of ../csharp in the
// project and the library in Assets/Plugins. docs/embed.md tells the steps.
using System;
using System.Collections.Generic;
using Unity.Collections;
using Unity.Collections.LowLevel.Unsafe;
using UnityEngine;

[RequireComponent(typeof(Renderer))]
public sealed class InhabitScreen : MonoBehaviour
{
    public string endpoint = "tcp://127.0.0.1:5555";

    static readonly Dictionary<KeyCode, string> Keys = new Dictionary<KeyCode, string> {
        { KeyCode.LeftArrow, "ArrowLeft" }, { KeyCode.RightArrow, "ArrowRight" }, { KeyCode.UpArrow, "ArrowUp" },
        { KeyCode.DownArrow, "ArrowDown" }, { KeyCode.Space, "Space" }, { KeyCode.LeftControl, "ControlLeft" },
        { KeyCode.W, "KeyW" }, { KeyCode.A, "KeyA" }, { KeyCode.S, "KeyS" }, { KeyCode.D, "KeyD" },
        { KeyCode.Mouse0, "Mouse0" }, { KeyCode.Mouse1, "Mouse2" }, { KeyCode.Mouse2, "Mouse1" },
    };

    InhabitClient client;
    Texture2D texture;
    InhabitClient.Frame frame = InhabitClient.Frame.Empty;

    void OnEnable() { client = new InhabitClient(endpoint, InhabitClient.Rgba8 | InhabitClient.BottomUp, "Unity"); }

    void OnDisable()
    {
        client?.Dispose();
        client = null;
    }

    void OnApplicationFocus(bool focused) { if (!focused) client?.Release(); }

    unsafe void Update()
    {
        if (client == null) return;
        try
        {
            foreach (var key in Keys)
            {
                if (Input.GetKeyDown(key.Key)) client.Button(key.Value, true);
                if (Input.GetKeyUp(key.Key)) client.Button(key.Value, false);
            }
            if (texture == null && !Prepare()) return;
            NativeArray<byte> pixels = texture.GetRawTextureData<byte>();
            var memory = (IntPtr)NativeArrayUnsafeUtility.GetUnsafePtr(pixels);
            if (client.Poll(memory, pixels.Length, ref frame)) texture.Apply(false);
        }
        catch (InhabitException error)
        {
            Debug.LogError(error.Message, this);
            enabled = false;
        }
    }

    bool Prepare()
    {
        var world = client.World();
        if (world == null) return false;
        texture = new Texture2D(world.Value.Width, world.Value.Height, TextureFormat.RGBA32, false) { filterMode = FilterMode.Bilinear };
        GetComponent<Renderer>().material.mainTexture = texture;
        return true;
    }
}
