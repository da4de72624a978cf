"""One component of each kind, in plain Python: stock gRPC on stubs that protoc generates from `proto/`.

Listens on the port that it is given, or any, prints it, and ends with its standard input. `UPCASTER=broken` in the environment
is a version of the upcaster that cannot do its work.
"""

import datetime
import os
import sys
from concurrent import futures

import grpc
from angzarr import command_handler_pb2 as handler_pb
from angzarr import command_handler_pb2_grpc as handler
from angzarr import process_manager_pb2 as process_pb
from angzarr import process_manager_pb2_grpc as process
from angzarr import projector_pb2_grpc as projector
from angzarr import saga_pb2 as saga_pb
from angzarr import saga_pb2_grpc as saga
from angzarr import types_pb2 as types
from angzarr import upcaster_pb2 as upcaster_pb
from angzarr import upcaster_pb2_grpc as upcaster
from remote_pb2 import Backordered, Counted, Overdue, Packed, Placed, Stow, Stowed, Take, View


def unpacked(pages, kind):
    """The events of one kind, in order."""
    for page in pages:
        if page.event.Is(kind.DESCRIPTOR):
            event = kind()
            page.event.Unpack(event)
            yield event


def events(*messages):
    book = types.EventBook()
    for message in messages:
        book.pages.add().event.Pack(message)
    return book


def command(domain, root, message):
    book = types.CommandBook(cover=types.Cover(domain=domain, root=root))
    book.pages.add().command.Pack(message)
    return book


def fact(domain, root, message):
    book = events(message)
    book.cover.domain = domain
    book.cover.root.CopyFrom(root)
    return book


def timeout(process, message, at):
    """A fact for the process itself: a notification that is to come back at some time; without a time it is taken back. The type of
    the message is the timeout's name."""
    told = types.Notification()
    told.payload.Pack(message)
    if at is not None:
        told.sent_at.FromDatetime(at)
    book = events(told)
    book.cover.domain = process
    return book


def over(book):
    """The process is over: an event of the framework's own, without content."""
    book.pages.add().event.type_url = "type.googleapis.com/angzarr.ProcessManagerCompleted"


class Stock(handler.CommandHandlerServiceServicer):
    """An aggregate: a place for a hundred."""

    def Handle(self, request, context):
        held = self.held(request.events.snapshot, request.events.pages)
        asked = request.command.pages[0].command
        if asked.Is(types.Notification.DESCRIPTOR):
            told, rejection = types.Notification(), types.RejectionNotification()
            asked.Unpack(told)
            told.payload.Unpack(rejection)
            return handler_pb.BusinessResponse(events=events(Backordered(why=rejection.rejection_reason)))
        stow = Stow()
        if not asked.Unpack(stow):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"unknown_command: {asked.type_url}")
        if held + stow.quantity > 100:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"full: {held} of 100 are taken")
        return handler_pb.BusinessResponse(events=events(Stowed(quantity=stow.quantity)))

    def held(self, snapshot, pages):
        """What the snapshot says, if there is one, and the events behind it."""
        view = View()
        snapshot.state.Unpack(view)
        return view.total + sum(event.quantity for event in unpacked(pages, Stowed))

    def Replay(self, request, context):
        answer = handler_pb.ReplayResponse()
        answer.state.Pack(View(total=self.held(request.base_snapshot, request.events)))
        return answer

    def HandleFact(self, request, context):
        return events(*(Stowed(quantity=it.quantity) for it in unpacked(request.facts.pages, Counted)))


class Stower(saga.SagaServiceServicer):
    """A saga: what is ordered is stowed, and taken from the shelf."""

    def Handle(self, request, context):
        answer = saga_pb.SagaResponse()
        root = request.source.cover.root
        for placed in unpacked(request.source.pages, Placed):
            answer.commands.append(command("stock", root, Stow(quantity=placed.quantity)))
        return answer


class Checkout(process.ProcessManagerServiceServicer):
    """A process manager: takes from the shelf and counts what it has seen. Eight are too many to be in time."""

    def Handle(self, request, context):
        answer = process_pb.ProcessManagerHandleResponse()
        for told in unpacked(request.trigger.pages, types.Notification):
            overdue = Overdue()
            if told.payload.Unpack(overdue):
                answer.process_events.CopyFrom(events(Backordered(why=f"{overdue.quantity} are overdue")))
                over(answer.process_events)
        seen = sum(event.quantity for event in unpacked(request.process_state.pages, Counted))
        for placed in unpacked(request.trigger.pages, Placed):
            root = request.trigger.cover.root
            if placed.quantity == 8:
                soon = request.trigger.pages[0].created_at.ToDatetime() + datetime.timedelta(milliseconds=500)
                answer.facts.append(timeout("checkout", Overdue(quantity=8), soon))
                continue
            answer.process_events.CopyFrom(events(Counted(quantity=seen + placed.quantity)))
            answer.commands.append(command("shelf", root, Take(quantity=placed.quantity)))
            answer.facts.append(fact("shelf", root, Counted(quantity=placed.quantity)))
        return answer


class Board(projector.ProjectorServiceServicer):
    """A projector: the total of each root, in memory. What comes again is known by its sequence."""

    def __init__(self):
        self.totals = {}

    def Handle(self, request, context):
        return self.project(request, dict.__setitem__)

    def HandleSpeculative(self, request, context):
        return self.project(request, lambda *_: None)

    def project(self, book, keep):
        root = book.cover.root.value
        seen, total = self.totals.get(root, (-1, 0))
        for page in book.pages:
            if page.header.sequence > seen:
                seen = page.header.sequence
                total += sum(event.quantity for event in unpacked([page], Stowed))
        keep(self.totals, root, (seen, total))
        answer = types.Projection(cover=book.cover, projector="board", sequence=seen)
        answer.projection.Pack(View(total=total))
        return answer


class Pieces(upcaster.UpcasterServiceServicer):
    """An upcaster: what was packed by the dozen is counted in pieces today. Every other event is as it was."""

    def Upcast(self, request, context):
        answer = upcaster_pb.UpcastResponse()
        for page in request.events:
            today = answer.events.add()
            today.CopyFrom(page)
            packed = Packed()
            if page.event.Unpack(packed):
                if os.environ.get("UPCASTER") == "broken":
                    context.abort(grpc.StatusCode.INTERNAL, "how many are a dozen?")
                today.event.Pack(Stowed(quantity=12 * packed.dozens))
                today.schema_version = 2
        return answer


def main():
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    handler.add_CommandHandlerServiceServicer_to_server(Stock(), server)
    saga.add_SagaServiceServicer_to_server(Stower(), server)
    process.add_ProcessManagerServiceServicer_to_server(Checkout(), server)
    projector.add_ProjectorServiceServicer_to_server(Board(), server)
    upcaster.add_UpcasterServiceServicer_to_server(Pieces(), server)
    port = server.add_insecure_port(f"127.0.0.1:{sys.argv[1] if len(sys.argv) > 1 else 0}")
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(None).wait()


if __name__ == "__main__":
    main()
