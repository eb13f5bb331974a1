import { app } from '../../../scripts/app.js'

// ComfyUI's upload button for sound, which it adds to every node that takes one, needs the audio player that it adds to its
// own nodes only. Our loader gets the player too, and before the button, which looks for it.
app.registerExtension({
  name: 'PortraitTalk.LoadAudio',
  beforeRegisterNodeDef(nodeType, nodeData) {
    if (nodeData.name !== 'PortraitTalkLoadAudio') return
    const { upload, ...widgets } = nodeData.input.required
    nodeData.input.required = { ...widgets, audioUI: ['AUDIO_UI', {}], ...(upload && { upload }) }
  }
})
