"""Reads a run folder with TensorBoard's own reader and prints what it found as one JSON object.

Usage: python read_events.py RUN
       python read_events.py --hparams FOLDER    only the rows of the HPARAMS tab, for all runs below a folder

scalars           tag -> [[step, value], ...], purged as TensorBoard does after a restart
hparams           the configuration in the run's session_start_info
ended             whether a session_end_info says that the run succeeded
text              tag -> texts
images            tag -> [[step, width, height, width and height within the PNG], ...]
images_tab        tags that the IMAGES tab lists
hparams_tab       what the HPARAMS tab lists: one group per run, each with its hparams
"""

import json
import os
import struct
import sys

from tensorboard import context as tb_context
from tensorboard.backend.event_processing import (
    data_provider,
    event_accumulator,
    plugin_event_multiplexer,
)
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import (
    api_pb2,
    backend_context,
    list_session_groups,
    metadata,
)


def number_or_text(value):
    return getattr(value, value.WhichOneof("kind"))


def png_extents(png):
    """Width and height from the header of a PNG file."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n" and png[12:16] == b"IHDR" and png[-8:-4] == b"IEND"
    return list(struct.unpack(">II", png[16:24]))


def images_tab(run):
    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    multiplexer.AddRun(run, name="run")
    multiplexer.Reload()
    return sorted(multiplexer.PluginRunToTagToContent("images").get("run", {}))


def hparams_tab(folder):
    """The groups that the HPARAMS tab would list for the runs below a folder, or for one run."""
    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    multiplexer.AddRunsFromDirectory(folder)
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, folder)
    request_context = tb_context.RequestContext()
    context = backend_context.Context(base_plugin.TBContext(data_provider=provider, logdir=folder))
    request = api_pb2.ListSessionGroupsRequest(
        allowed_statuses=list(api_pb2.Status.values()), start_index=0, slice_size=100
    )
    handler = list_session_groups.Handler(
        request_context=request_context, backend_context=context, experiment_id="", request=request
    )
    response = handler.run()
    return [
        {key: number_or_text(value) for key, value in group.hparams.items()}
        for group in response.session_groups
    ]


def main(run):
    events = event_accumulator.EventAccumulator(
        run,
        size_guidance={
            event_accumulator.SCALARS: 0,
            event_accumulator.TENSORS: 0,
            event_accumulator.IMAGES: 0,
        },
    )
    events.Reload()
    tags = events.Tags()
    found = {"scalars": {}, "text": {}, "hparams": {}, "ended": False}
    for tag in tags["scalars"]:
        found["scalars"][tag] = [[event.step, event.value] for event in events.Scalars(tag)]
    for tag, content in events.PluginTagToContent("hparams").items():
        if tag == metadata.SESSION_START_INFO_TAG:
            start = metadata.parse_session_start_info_plugin_data(content)
            found["hparams"] = {key: number_or_text(value) for key, value in start.hparams.items()}
        if tag == metadata.SESSION_END_INFO_TAG:
            end = metadata.parse_session_end_info_plugin_data(content)
            found["ended"] = end.status == api_pb2.STATUS_SUCCESS
    for tag in events.PluginTagToContent("text"):
        found["text"][tag] = [
            text.decode() for event in events.Tensors(tag) for text in event.tensor_proto.string_val
        ]
    found["images"] = {
        tag: [
            [event.step, event.width, event.height, png_extents(event.encoded_image_string)]
            for event in events.Images(tag)
        ]
        for tag in tags["images"]
    }
    found["images_tab"] = images_tab(run)
    found["hparams_tab"] = hparams_tab(run)
    print(json.dumps(found))


if __name__ == "__main__":
    if sys.argv[1] == "--hparams":
        print(json.dumps(hparams_tab(os.path.abspath(sys.argv[2]))))
    else:
        main(os.path.abspath(sys.argv[1]))
