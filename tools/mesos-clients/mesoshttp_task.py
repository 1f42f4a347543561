"""mesoshttp runs one task on the master HOST:PORT: 0 once it is FINISHED. It hands a record on only when the next one
comes, so it depends on the heartbeat after a burst."""
import sys
import threading
import uuid

from mesoshttp.client import MesosClient

client = MesosClient(mesos_urls=["http://" + sys.argv[1]], frameworkName="mesoshttp", frameworkUser="root")
over = threading.Event()
launched = []
states = []


def subscribed(driver):
    print("subscribed", flush=True)


def offers(offers):
    for offer in offers:
        if launched:
            offer.decline({"filters": {"refuse_seconds": 60}})
            continue
        launched.append(str(uuid.uuid4()))
        told = offer.get_offer()
        offer.accept([{
            "name": "one task",
            "task_id": {"value": launched[0]},
            "agent_id": {"value": told["agent_id"]["value"]},
            "command": {"value": "echo from mesoshttp"},
            "resources": [
                {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
                {"name": "mem", "type": "SCALAR", "scalar": {"value": 32}},
            ],
        }])


def update(update):
    state = update["status"]["state"]
    print(state, flush=True)
    states.append(state)
    if state not in ("TASK_STAGING", "TASK_STARTING", "TASK_RUNNING"):
        over.set()


def error(message):
    print("error", message, flush=True)
    over.set()


client.on(MesosClient.SUBSCRIBED, subscribed)
client.on(MesosClient.OFFERS, offers)
client.on(MesosClient.UPDATE, update)
client.on(MesosClient.ERROR, error)
thread = threading.Thread(target=client.register, daemon=True)
thread.start()
ended = over.wait(60)
client.tearDown()
sys.exit(0 if ended and states[-1:] == ["TASK_FINISHED"] else 1)
