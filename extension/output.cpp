#include "extension/output.h"

namespace fatwal::plugin {

namespace {

// What the server's own output buffer may keep of a large message.
constexpr int kMaxKeptOutput = 1024 * 1024;

}  // namespace

void Output::append(wire::Bytes message) {
    appendBinaryStringInfo(ctx_->out, reinterpret_cast<const char*>(message.data()),
                           static_cast<int>(message.size()));
}

// The server copies the message on before this returns, and prepares its buffer again before the
// next one.
void Output::write() {
    OutputPluginWrite(ctx_, true);
    if (ctx_->out->maxlen <= kMaxKeptOutput) return;
    MemoryContext caller = MemoryContextSwitchTo(GetMemoryChunkContext(ctx_->out->data));
    pfree(ctx_->out->data);
    initStringInfo(ctx_->out);
    MemoryContextSwitchTo(caller);
}

void Output::put(wire::Bytes message) {
    if (in_batch_ && static_cast<std::size_t>(ctx_->out->len) + message.size() > kBatchBytes)
        end_batch();
    if (!in_batch_) OutputPluginPrepareWrite(ctx_, true);
    in_batch_ = true;
    append(message);
}

void Output::end_batch() {
    if (in_batch_) write();
    in_batch_ = false;
}

void Output::write_message(wire::Bytes message) {
    Assert(!in_batch_);
    OutputPluginPrepareWrite(ctx_, true);
    append(message);
    write();
}

}  // namespace fatwal::plugin
