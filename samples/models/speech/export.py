def finish(model, seconds, arguments):
    print(seconds)
